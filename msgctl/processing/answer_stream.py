"""Read n8n's streamed answers: one JSON object a line, whatever the chunks are. Pure: no I/O, no clock.

`StreamReader` turns bytes into events as they come, for whoever shows a reply while it is written, and keeps the
finished blocks, for whoever wants the reply whole. A block is what one node says between `begin` and `end`.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import msgspec

from msgctl.domain.visible_text import repair_text
from msgctl.processing.answer_encoding import too_large
from msgctl.processing.answer_json import NotJson, parse_json, parse_values
from msgctl.processing.delta_gate import DeltaGate

CHUNK_TYPES = ("begin", "item", "end", "error", "keepalive")
_ANSWER_KEYS = ("message", "output", "text", "response", "answer", "messages")
LONGEST_LINE = 64
"""A line may be as many times longer than the text that is allowed: escapes and metadata take room."""


class EventKind(StrEnum):
    """What a line of a stream tells."""

    BEGIN = "begin"
    DELTA = "delta"
    END = "end"
    ERROR = "error"
    KEEPALIVE = "keepalive"


class StreamEvent(msgspec.Struct, frozen=True):
    """One happening in a stream."""

    kind: EventKind
    block: int = 0
    """The ordinal of the block, from 1, by its `begin`; 0 for an event of no block."""
    text: str = ""
    """What a delta adds; of an `end` the whole block."""
    node: str = ""
    """The node's name."""
    replaces: int = 0
    """For a `begin` of what was open already: the ordinal of the block that is dropped."""


class Block(msgspec.Struct):
    """What one node said at one turn of it."""

    ordinal: int
    node_id: str
    node: str
    run: int
    item: int
    pieces: list[str] = msgspec.field(default_factory=list)
    gate: DeltaGate = msgspec.field(default_factory=DeltaGate)

    @property
    def key(self) -> tuple[str, int, int]:
        """What tells this block from others that are open."""
        return self.node_id, self.run, self.item

    @property
    def text(self) -> str:
        """All that it holds so far."""
        return repair_text("".join(self.pieces))


class StreamError(msgspec.Struct, frozen=True):
    """An `error` line."""

    node_id: str
    node: str
    after: int
    """How many blocks were complete when it came."""
    hint: str = ""
    """What its text points to, in words of this program."""


class StreamReader:
    """Reads one stream from its first byte to its last.

    Args:
        max_text: bytes of text that the stream may hold.
    """

    def __init__(self, *, max_text: int) -> None:
        self._max_text = max_text
        self._pending: list[bytes] = []
        self._pending_size = self._text_size = self._begun = 0
        self._open: dict[tuple[str, int, int], Block] = {}
        self._failed: set[tuple[str, int, int]] = set()
        self.blocks: list[Block] = []
        """The complete blocks, in the order of their ends."""
        self.errors: list[StreamError] = []
        self.keepalives = 0
        self.broken = False
        """Whether a line could not be read."""

    @property
    def is_open(self) -> bool:
        """Whether a block has begun and not ended."""
        return bool(self._open)

    @property
    def begun(self) -> int:
        """Blocks that have begun."""
        return self._begun

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Read the next bytes of the body, however they are cut.

        Raises:
            UnusableAnswer: the text, or one line, is too large.
        """
        *lines, rest = data.split(b"\n")
        events: list[StreamEvent] = []
        for line in lines:
            self._pending.append(line)
            events += self._read_line()
        self._pending.append(rest)
        self._pending_size += len(rest)
        if self._pending_size > self._max_text * LONGEST_LINE + 65_536:
            raise too_large(self._max_text)
        return events

    def finish(self) -> list[StreamEvent]:
        """Read what stands behind the last line break; the stream is over."""
        return self._read_line()

    def _read_line(self) -> list[StreamEvent]:
        line = b"".join(self._pending).strip()
        self._pending, self._pending_size = [], 0
        if not line:
            return []
        return [event for chunk in self._parse(line) for event in self._take(chunk)]

    def _parse(self, line: bytes) -> Iterator[Any]:
        text = line.decode("utf-8", "surrogatepass" if _is_wtf8(line) else "replace").removeprefix("\ufeff")
        try:
            yield parse_json(text)
        except NotJson:
            values, whole = parse_values(text)
            self.broken = self.broken or not whole
            yield from values

    def _take(self, chunk: Any) -> Iterator[StreamEvent]:
        kind = chunk.get("type") if isinstance(chunk, dict) else None
        if kind not in CHUNK_TYPES:
            return
        if kind == "keepalive":
            self.keepalives += 1
            yield StreamEvent(EventKind.KEEPALIVE)
            return
        block = _describe(chunk)
        if kind == "begin":
            yield self._begin(block)
        elif kind == "error":
            self._open.pop(block.key, None)
            self._failed.add(block.key)
            self.errors.append(
                StreamError(block.node_id, block.node, len(self.blocks), _hint(chunk.get("content")))
            )
            yield StreamEvent(EventKind.ERROR, node=block.node)
        elif kind == "item":
            yield from self._add(block, chunk.get("content"))
        elif ended := self._open.pop(block.key, None):
            yield from self._end(ended)

    def _begin(self, block: Block) -> StreamEvent:
        dropped = self._open.pop(block.key, None)
        self._failed.discard(block.key)
        self._begun += 1
        block.ordinal = self._begun
        self._open[block.key] = block
        return StreamEvent(
            EventKind.BEGIN, block.ordinal, node=block.node, replaces=dropped.ordinal if dropped else 0
        )

    def _add(self, block: Block, content: Any) -> Iterator[StreamEvent]:
        found = self._open.get(block.key)
        if found is None and block.key in self._failed:
            return  # what follows an error without a new `begin` is half a text
        if found is None:
            yield self._begin(block)
            found = block
        piece = (
            content
            if isinstance(content, str)
            else ""
            if content is None
            else msgspec.json.encode(content).decode()
        )
        self._text_size += len(piece.encode("utf-8", "surrogatepass"))
        if self._text_size > self._max_text:
            raise too_large(self._max_text)
        found.pieces.append(piece)
        if text := found.gate.feed(piece):
            yield StreamEvent(EventKind.DELTA, found.ordinal, text, found.node)

    def _end(self, block: Block) -> Iterator[StreamEvent]:
        self.blocks.append(block)
        yield StreamEvent(EventKind.END, block.ordinal, block.text, block.node)


def is_chunk(value: Any) -> bool:
    """Whether a JSON value is a line of a stream and not an answer of its own."""
    return (
        isinstance(value, dict)
        and value.get("type") in CHUNK_TYPES
        and not any(value.get(key) for key in _ANSWER_KEYS)
        and isinstance(value.get("content"), str | None)
    )


def _describe(chunk: dict[str, Any]) -> Block:
    told = chunk.get("metadata")
    metadata: dict[str, Any] = told if isinstance(told, dict) else {}
    return Block(
        ordinal=0,
        node_id=_as_text(metadata.get("nodeId")),
        node=_as_text(metadata.get("nodeName")),
        run=_as_number(metadata.get("runIndex")),
        item=_as_number(metadata.get("itemIndex")),
    )


def _as_text(value: Any) -> str:
    return repair_text(value) if isinstance(value, str) else ""


def _as_number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _is_wtf8(line: bytes) -> bool:
    """Whether the line holds halves of UTF-16 pairs, and is UTF-8 otherwise."""
    try:
        line.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


def _hint(content: Any) -> str:
    """What an error's text points to; the text itself may hold a customer's words, or a key."""
    text = content.casefold() if isinstance(content, str) else ""
    if "rate limit" in text or "quota" in text or "too many requests" in text:
        return ": the model's provider says that a limit is reached"
    if "api key" in text or "unauthorized" in text or "authenticat" in text or "credential" in text:
        return ": the model's provider refuses the credentials"
    if "context length" in text or "maximum context" in text or "too many tokens" in text:
        return ": the conversation is longer than the model takes"
    return ""
