"""The signature of an error: what it says without the particulars, so that a thousand failures are few causes."""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from msgctl.operations.dead_letters.triage import fold_particulars

SIGNATURE_CACHE_SIZE = 4096
"""Texts whose folding is remembered; most errors of an incident read alike to the letter."""


def signature(error: Mapping[str, Any] | None) -> str:
    """`code: text` with addresses, ids and numbers folded.

    Args:
        error: `{code, text, …}` as the message keeps it.
    """
    known = error or {}
    return f"{known.get('code', 'unknown')}: {_fold_cached(str(known.get('text', '')))}"


@lru_cache(SIGNATURE_CACHE_SIZE)
def group_key(text: str) -> str:
    """The key of a signature, eight hexadecimal digits, to be typed after `--group`."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]


@lru_cache(SIGNATURE_CACHE_SIZE)
def _fold_cached(text: str) -> str:
    return fold_particulars(text)
