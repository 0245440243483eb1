"""Turn the bytes of an answer into text, or into the one file that they are. Pure.

What the bytes are decides; the headers are asked only where the bytes leave it open.
"""

import re
import zlib
from collections.abc import Mapping

import msgspec

from msgctl.processing.answer_faults import Defect, UnusableAnswer

_MEDIA = (
    (0, b"\x89PNG\r\n", "image", "image/png"),
    (0, b"\xff\xd8\xff", "image", "image/jpeg"),
    (0, b"GIF87a", "image", "image/gif"),
    (0, b"GIF89a", "image", "image/gif"),
    (8, b"WEBP", "image", "image/webp"),
    (0, b"II*\0", "image", "image/tiff"),
    (0, b"MM\0*", "image", "image/tiff"),
    (8, b"WAVE", "audio", "audio/wav"),
    (8, b"AVI ", "video", "video/x-msvideo"),
    (4, b"ftypheic", "image", "image/heic"),
    (4, b"ftypmif1", "image", "image/heif"),
    (4, b"ftypavif", "image", "image/avif"),
    (4, b"ftypM4A", "audio", "audio/mp4"),
    (4, b"ftypqt", "video", "video/quicktime"),
    (4, b"ftyp", "video", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "video", "video/webm"),
    (0, b"OggS\0", "audio", "audio/ogg"),
    (0, b"fLaC\0", "audio", "audio/flac"),
    (0, b"#!AMR", "audio", "audio/amr"),
    (0, b"%PDF-", "document", "application/pdf"),
)
_CONTAINERS = {4: b"\0", 8: b"RIFF"}
"""What stands at the beginning of a file whose kind is told further in."""
_AMBIGUOUS = (
    (re.compile(rb"ID3[\x02-\x04]"), "audio", "audio/mpeg"),
    (re.compile(rb"\xff[\xf1\xf9]"), "audio", "audio/aac"),
    (re.compile(rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xfd]"), "audio", "audio/mpeg"),
    (re.compile(rb"BM.{4}\0\0\0\0", re.DOTALL), "image", "image/bmp"),
)
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)
_SAFE_CHARSET = re.compile(
    r"iso[-_]?8859[-_]\d{1,2}|windows[-_]?\d{3,4}|cp\d{3,4}|koi8[-_][ru]"
    r"|big5|gb2312|gbk|gb18030|euc[-_]?(?:jp|kr)|shift[-_]?jis|macintosh",
    re.IGNORECASE,
)
_LATIN = frozenset({"latin1", "latin-1", "iso-8859-1", "iso8859-1", "iso_8859-1", "ascii", "us-ascii"})
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
"""Byte order marks, the longer ones first."""
_UNMARKED = ((re.compile(rb"[\s]?[{\[\"]\0[^\0]"), "utf-16-le"), (re.compile(rb"\0[{\[\"]\0[^\0]"), "utf-16-be"))
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_SAMPLE = 4096
_MOST_ENCODINGS = 3
_MOST_MEMBERS = 64
"""Members of a gzip body that are read; each further one copies what is left."""


class Media(msgspec.Struct, frozen=True):
    """A body that is a file."""

    kind: str
    """`image`, `audio`, `video` or `document`."""
    mime_type: str
    data: bytes


def decode_body(body: bytes, headers: Mapping[bytes, bytes], *, max_body: int) -> str | Media:
    """The text of a body, or the file that it is.

    Args:
        body: as it came, without the transfer encoding.
        headers: of the answer, names in lower case.
        max_body: bytes that a compressed body may unfold to.

    Raises:
        UnusableAnswer: it is compressed in an unknown way, is no text and no known file, or is too large.
    """
    body = _decompress(body, headers.get(b"content-encoding", b"").decode("latin-1"), max_body)
    return recognize_media(body) or _decode_text(body, headers.get(b"content-type", b"").decode("latin-1"))


def recognize_media(body: bytes) -> Media | None:
    """The file that a body begins like; None for text and for anything unknown."""
    for offset, magic, kind, mime_type in _MEDIA:
        if body.startswith(magic, offset) and body.startswith(_CONTAINERS.get(offset, b"")):
            return Media(kind, mime_type, body)
    for pattern, kind, mime_type in _AMBIGUOUS:
        if pattern.match(body) and not body.startswith(b"\xff\xfe"):
            return Media(kind, mime_type, body)
    return None


def _decompress(body: bytes, encodings: str, max_body: int) -> bytes:
    names = [name for one in encodings.lower().split(",") if (name := one.strip()) not in ("", "identity")]
    if not names and body.startswith(b"\x1f\x8b\x08"):
        names = ["gzip"]
    for name in reversed(names[-_MOST_ENCODINGS:]):
        if name in ("gzip", "x-gzip", "deflate"):
            body = _inflate(body, name, max_body)
        elif not _is_plain(body):
            raise UnusableAnswer(
                Defect.COMPRESSED,
                f"n8n's answer is compressed with {name if name.isalnum() else 'something unknown'}, although it "
                "was asked not to be: turn compression off in n8n, or in the proxy before it.",
            )
    return body


def _is_plain(body: bytes) -> bool:
    """Whether a proxy has unpacked the body already and left the header."""
    return body.lstrip()[:1] in (b"{", b"[", b'"')


def _inflate(body: bytes, name: str, max_body: int) -> bytes:
    gzip = body.startswith(b"\x1f\x8b")
    if not body or (name != "deflate" and not gzip):
        return body
    for window in (31,) if gzip else (15, -15):
        whole = _inflate_all(body, window, max_body)
        if whole is not None:
            return whole
    if name == "deflate" and _is_plain(body):
        return body
    raise UnusableAnswer(
        Defect.COMPRESSED,
        f"n8n's answer says that it is compressed with {name}, but it cannot be unpacked: turn compression off "
        "in n8n, or in the proxy before it.",
    )


def _inflate_all(body: bytes, window: int, max_body: int) -> bytes | None:
    """Every member of a compressed body; None where it is broken or cut."""
    unpacked: list[bytes] = []
    room = max_body
    for _ in range(_MOST_MEMBERS):
        stream = zlib.decompressobj(window)
        try:
            piece = stream.decompress(body, room + 1)
        except zlib.error:
            return b"".join(unpacked) if unpacked else None
        if len(piece) > room:
            raise too_large(max_body)
        if not stream.eof:
            return None
        unpacked.append(piece)
        room -= len(piece)
        body = stream.unused_data
        if not body or window != 31:
            break
    return b"".join(unpacked)


def too_large(limit: int) -> UnusableAnswer:
    """The failure of an answer that has more bytes than are read."""
    return UnusableAnswer(
        Defect.TOO_LARGE,
        f"n8n's answer is larger than {limit} bytes: let the workflow answer with the reply alone, or raise "
        "n8n.max_answer.",
    )


def _decode_text(body: bytes, content_type: str) -> str:
    named = _name_charset(content_type)
    for encoding in _guess_encodings(body, named):
        text = _try_decode(body, encoding)
        if text is not None:
            if _looks_binary(body) and not encoding.startswith(("utf-16", "utf-32")):
                raise _binary(body, content_type)
            return text.removeprefix("\ufeff")
    if named in _LATIN or (named and _SAFE_CHARSET.fullmatch(named)):
        if _looks_binary(body):
            raise _binary(body, content_type)
        return body.decode("cp1252" if named in _LATIN else named, "replace").removeprefix("\ufeff")
    if _looks_binary(body):
        raise _binary(body, content_type)
    raise UnusableAnswer(
        Defect.NOT_UTF8,
        "n8n's answer is not UTF-8, and its Content-Type names no other charset: write the reply in UTF-8, or "
        "name the charset in Respond to Webhook.",
    )


def _guess_encodings(body: bytes, named: str) -> list[str]:
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            return [encoding]
    if named.startswith(("utf-16", "utf16", "utf-32", "utf32")) and b"\0" in body[:_SAMPLE]:
        return [f"utf-{'32' if '32' in named else '16'}-{'be' if named.endswith('be') else 'le'}"]
    for pattern, encoding in _UNMARKED:
        if pattern.match(body):
            return [encoding]
    return ["utf-8"]


def _try_decode(body: bytes, encoding: str) -> str | None:
    try:
        # Halves of UTF-16 pairs written as UTF-8 pass, and are repaired with the other lone halves.
        return body.decode(encoding, "surrogatepass")
    except (UnicodeDecodeError, LookupError):
        return body.decode(encoding, "replace") if encoding.startswith(("utf-16", "utf-32")) else None


def _name_charset(content_type: str) -> str:
    found = _CHARSET.search(content_type)
    return found[1].lower() if found else ""


def _looks_binary(body: bytes) -> bool:
    sample = body[:_SAMPLE]
    controls = len(_CONTROL.findall(sample))
    return controls >= 8 and controls * 20 > len(sample)


def _binary(body: bytes, content_type: str) -> UnusableAnswer:
    kind = content_type.split(";", maxsplit=1)[0].strip().lower()
    named = f", Content-Type {kind}" if re.fullmatch(r"[\w.+-]{1,60}/[\w.+-]{1,60}", kind) else ""
    return UnusableAnswer(
        Defect.BINARY,
        f"n8n's answer is a file of {len(body)} bytes{named}, and no image, audio, video or PDF: answer with "
        "text, and give the file's address under `attachments`.",
    )
