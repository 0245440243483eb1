"""The signature of an error: its code and text without particulars. A thousand failures have a few signatures."""

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

SIGNATURE_CACHE_SIZE = 4096
"""Texts whose result is cached. Most errors of an incident are identical."""
FOLD_PATTERNS = (
    ("://", re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE), "URL"),
    ("-", re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "ID"),
    ("", re.compile(r"\b(?=\w*\d)[\w-]{12,}\b"), "ID"),
    ("", re.compile(r"(?<!\bHTTP )\b\d+(?:[.,]\d+)*\b"), "N"),
)
"""A string to search for first, because that is fast; the particulars; and the word that replaces them.
The status of an HTTP answer is kept: 404 and 500 have different causes."""


def signature(error: Mapping[str, Any] | None) -> str:
    """Return `code: text` with addresses, ids, and numbers replaced.

    Args:
        error: `{code, text, …}` as the job stores it.
    """
    error = error or {}
    return f"{error.get('code', 'unknown')}: {fold_particulars(str(error.get('text', '')))}"


@lru_cache(SIGNATURE_CACHE_SIZE)
def group_key(text: str) -> str:
    """Return the key of a signature, eight hexadecimal digits, for the option `--group`."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]


@lru_cache(SIGNATURE_CACHE_SIZE)
def fold_particulars(text: str) -> str:
    """Return a text with addresses, ids, and numbers replaced by URL, ID, and N. The status of HTTP is kept."""
    for mark, pattern, name in FOLD_PATTERNS:
        if mark in text:
            text = pattern.sub(name, text)
    return text
