"""JSON of other systems: strict where it is well-formed, forgiving where only its writer could fix it."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgctl.domain.foreign_json import InvalidForeignJson, decode_foreign_json

NESTED = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": "\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        (b'{"a": "Jo\\ud83d"}', {"a": "Jo\ufffd"}),
        (b'{"a": "\\ude00x", "\\ud83d": 1}', {"a": "\ufffdx", "\ufffd": 1}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'\xef\xbb\xbf {"a": "\xff"}\r\n', {"a": "\ufffd"}),
        (b'{"a": "x\xc3"}', {"a": "x\ufffd"}),
        (b'{"a": "two\nlines\ttab", "b": NaN, "c": -Infinity}', {"a": "two\nlines\ttab", "b": None, "c": None}),
        (b'"\\\\ud83d"', "\\ud83d"),
    ],
)
def test_usual_mistakes_are_forgiven(body: bytes, value: Any) -> None:
    """Each of them costs one character, not the record."""
    found = decode_foreign_json(body)
    assert found == value
    repr(found).encode()


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"hello", b'{"a": 1} {"b": 2}', b"{'a': 1}", NESTED])
def test_what_is_not_json_is_refused(body: bytes) -> None:
    """A cut body, two values and plain text are no JSON, however forgiving the reader is."""
    with pytest.raises(InvalidForeignJson):
        decode_foreign_json(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """No other exception comes out, and every string can be encoded."""
    with suppress(InvalidForeignJson):
        repr(decode_foreign_json(body)).encode()
