"""Choose the reply of a streamed answer among its blocks, or say why there is none. Pure."""

from enum import StrEnum

import msgspec

from msgctl.processing.answer_faults import AnswerFault, Defect, StreamFailed, UnfitWorkflow, quote_node
from msgctl.processing.answer_json import NotJson, parse_json
from msgctl.processing.answer_reading import AnswerReading
from msgctl.processing.answer_stream import Block, StreamError, StreamReader
from msgctl.processing.answers import Question, ReplyPart
from msgctl.processing.thinking import strip_thinking


class Blocks(StrEnum):
    """Which blocks of a stream are the reply (`[n8n] blocks`)."""

    LAST = "last"
    """The last one that holds something: an agent's words before it used a tool are not repeated."""
    ALL = "all"


class BlockAnswer(msgspec.Struct, frozen=True):
    """A block, read."""

    block: Block
    position: int
    """Its place among the complete blocks."""
    reading: AnswerReading
    parts: list[ReplyPart]
    is_json: bool

    @property
    def says_something(self) -> bool:
        """Whether there is anything in it to act on."""
        return bool(self.parts) or self.reading.says_something


class StreamReply(msgspec.Struct, frozen=True):
    """What a stream comes to."""

    reading: AnswerReading
    parts: list[ReplyPart]
    warnings: list[str]


def settle_stream(stream: StreamReader, question: Question, blocks: Blocks) -> StreamReply:
    """The reply of a stream that has ended.

    Raises:
        StreamFailed: the run failed or was cut.
        UnfitWorkflow: it ended well, and nothing was said.
    """
    if stream.broken or stream.is_open:
        raise _failed(stream, Defect.STREAM_CUT)
    read = [_read_block(block, position, question) for position, block in enumerate(stream.blocks)]
    chosen = _choose(read)
    if chosen is None:
        raise _explain(stream, read)
    late = [error for error in stream.errors if error.after > chosen.position]
    if any(_is_same_node(error, chosen.block) for error in late):
        raise _failed(stream, Defect.STREAM_ERROR)
    used = _gather(read, chosen, blocks)
    reading = used[-1].reading
    for other in used[:-1]:
        reading.take_over(other.reading)
    warnings = [f"n8n told an error{quote_node(error.node)} after the reply{error.hint}." for error in late]
    return StreamReply(reading, _join(used), warnings)


def _read_block(block: Block, position: int, question: Question) -> BlockAnswer:
    reading = AnswerReading(question)
    text = block.text
    answer = strip_thinking(text).strip()
    if answer.startswith(("{", "[")):
        try:
            value = parse_json(answer)
        except NotJson:
            pass
        else:
            parts = reading.read(value) if isinstance(value, dict | list) else []
            if parts or reading.says_something or len(block.pieces) == 1:
                return BlockAnswer(block, position, reading, parts, is_json=True)
            # An agent that wrote JSON word by word meant it as its text; a node answers in one piece.
            reading = AnswerReading(question)
    shown = reading.show_text(text) if text else ""
    return BlockAnswer(block, position, reading, [ReplyPart(shown)] if shown else [], is_json=False)


def _choose(read: list[BlockAnswer]) -> BlockAnswer | None:
    """The last block that holds an answer; one that repeats the question only where no other does."""
    speaking = [one for one in read if one.says_something]
    fresh = [one for one in speaking if not (one.parts and all(map(one.reading.is_echo, one.parts)))]
    found = fresh or speaking
    return found[-1] if found else None


def _gather(read: list[BlockAnswer], chosen: BlockAnswer, blocks: Blocks) -> list[BlockAnswer]:
    if chosen.is_json:
        siblings = [one for one in read if one.is_json and one.says_something and _same_source(one, chosen)]
        siblings.sort(key=lambda one: (one.block.run, one.block.item))
        if blocks is Blocks.LAST:
            return siblings
    if blocks is Blocks.LAST:
        return [chosen]
    return [
        one
        for one in read
        if one.says_something and not all(map(one.reading.is_echo, one.parts or [ReplyPart("-")]))
    ] or [chosen]


def _same_source(one: BlockAnswer, other: BlockAnswer) -> bool:
    return one.block.node_id == other.block.node_id


def _join(used: list[BlockAnswer]) -> list[ReplyPart]:
    """The parts of all blocks; a text that another node repeats counts once."""
    parts: list[ReplyPart] = []
    tellers: dict[str, str] = {}
    for one in used:
        for part in one.parts:
            node = one.block.node_id
            is_alone = not part.attachments and not part.choices
            if is_alone and tellers.setdefault(part.text, node) != node:
                continue
            parts.append(part)
    return parts


def _is_same_node(error: StreamError, block: Block) -> bool:
    """Whether an error is of the node that gave the reply; so it counts where n8n does not tell the node."""
    return not error.node_id or not block.node_id or error.node_id == block.node_id


def _failed(stream: StreamReader, reason: Defect) -> StreamFailed:
    if stream.errors:
        error = stream.errors[-1]
        return StreamFailed(
            Defect.STREAM_ERROR,
            f"The workflow failed while it answered{quote_node(error.node)}{error.hint}: see its execution in "
            "n8n.",
        )
    return StreamFailed(
        reason,
        "n8n's streamed answer broke off before its end: see the workflow's execution in n8n, and whether n8n or "
        "its worker was restarted.",
    )


def _explain(stream: StreamReader, read: list[BlockAnswer]) -> AnswerFault:
    """Why no block is a reply."""
    if stream.errors:
        return _failed(stream, Defect.STREAM_ERROR)
    if not stream.begun:
        return StreamFailed(
            Defect.STREAM_CUT,
            "n8n's streamed answer ended before any node said a word: see the workflow's execution in n8n, and "
            "whether its worker was restarted.",
        )
    for one in reversed(read):
        if one.block.text.strip():
            return one.reading.explain(None)
    return UnfitWorkflow(
        Defect.STREAM_SILENT,
        "The workflow streams, but no node said anything: turn on 'Enable Streaming' in the AI Agent or Respond "
        "to Webhook node that holds the reply.",
    )
