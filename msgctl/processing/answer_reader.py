"""Read an answer of n8n whole: what comes with a good status becomes a reply, or a failure that says why. Pure.

The content decides, never the Content-Type: n8n names plain text HTML, and streams JSON.
"""

import re
from collections.abc import Mapping
from typing import Any

from msgctl.processing.answer_encoding import Media, decode_body, too_large
from msgctl.processing.answer_faults import Defect, N8nStarting, UnusableAnswer, unusable
from msgctl.processing.answer_json import NotJson, TooDeep, parse_json, parse_values
from msgctl.processing.answer_reading import AnswerReading
from msgctl.processing.answer_stream import StreamReader, is_chunk
from msgctl.processing.answers import UNASKED, Attachment, N8nAnswer, Outcome, Question, ReplyPart
from msgctl.processing.markup import is_markup
from msgctl.processing.n8n_downtime import is_down_page
from msgctl.processing.stream_reply import Blocks, settle_stream

MAX_TEXT = 1 << 20
MAX_BODY = 32 << 20
_JSON_LIKE = re.compile(r"\{\s*(?:[\"'}]|\w{1,64}\s*:)|\[\s*(?:[\[{\"]|\]\s*\Z)")
_CHUNK_LIKE = re.compile(r"\{\s*\"type\"\s*:\s*\"(?:begin|item|end|error|keepalive)\"")
_EVENT_STREAM = re.compile(r"(?:(?:event|id|retry):[^\n]{0,200}\n|:[^\n]{0,200}\n)*data:\s?(?:[\[{]|\[DONE\])")


def read_answer(
    body: bytes,
    headers: Mapping[bytes, bytes],
    *,
    question: Question = UNASKED,
    answers_later: bool = False,
    blocks: Blocks = Blocks.LAST,
    max_text: int = MAX_TEXT,
    max_body: int = MAX_BODY,
) -> N8nAnswer:
    """Read what a workflow answered with a status from 200 to 299.

    Args:
        body: as it came, without the transfer encoding.
        headers: names in lower case; `content-type` and `content-encoding` are looked at.
        question: what was asked.
        answers_later: whether the agent's workflow answers by `replyUrl`, so that "started" is no fault.
        blocks: which blocks of a stream are the reply.
        max_text: bytes that the texts of the reply may have together, in UTF-8.
        max_body: bytes that a compressed body may unfold to.

    Raises:
        UnusableAnswer, UnfitWorkflow: it can never become a reply; final.
        StreamFailed: the run failed while it answered.
        N8nStarting: it is a page that says that n8n does not serve yet.
    """
    content = decode_body(body, headers, max_body=max_body)
    if isinstance(content, Media):
        file = Attachment(data=content.data, kind=content.kind, mime_type=content.mime_type)
        return N8nAnswer(outcome=Outcome.REPLY, parts=(ReplyPart("", (file,)),))
    answer = _read_text(content, question, blocks, max_text, answers_later=answers_later)
    if sum(len(part.text.encode()) for part in answer.parts) > max_text:
        raise too_large(max_text)
    return answer


def _read_text(text: str, question: Question, blocks: Blocks, max_text: int, *, answers_later: bool) -> N8nAnswer:
    if not text.strip("\0 \t\r\n\ufeff"):
        raise UnusableAnswer(
            Defect.EMPTY,
            "n8n's answer is empty: does the workflow end in Respond to Webhook with data; and where it streams, "
            "is 'Enable Streaming' on in the node that answers?",
        )
    if is_down_page(text):
        raise N8nStarting(
            Defect.STARTING,
            "n8n answers that it starts, migrates or is out of service: the message waits for it.",
        )
    try:
        value = parse_json(text)
    except TooDeep:
        raise unusable(Defect.TOO_DEEP) from None
    except NotJson:
        value = _read_several(text)
    if is_chunk(value) or value is _STREAM:
        stream = StreamReader(max_text=max_text)
        stream.feed(text.encode("utf-8", "surrogatepass"))
        stream.finish()
        settled = settle_stream(stream, question, blocks)
        return _conclude(
            settled.reading,
            settled.parts,
            None,
            answers_later=answers_later,
            streamed=True,
            warnings=settled.warnings,
        )
    reading = AnswerReading(question)
    if value is _PLAIN:
        value = _check_plain(text).strip()
    return _conclude(reading, reading.read(value), value, answers_later=answers_later)


_STREAM, _PLAIN = object(), object()


def _read_several(text: str) -> Any:
    """What a text is that is not one JSON value: a stream, several values, a plain text."""
    head = text.lstrip()[:2000]
    if not head.startswith(("{", "[")):
        return _PLAIN
    values, is_whole = parse_values(text)
    if _CHUNK_LIKE.match(head) or any(map(is_chunk, values[:8])):
        return _STREAM
    if is_whole and all(isinstance(value, dict | list) for value in values):
        return values
    if not _JSON_LIKE.match(head):
        return _PLAIN
    raise UnusableAnswer(
        Defect.BROKEN_JSON,
        "n8n's answer begins like JSON and is not JSON: in Respond to Webhook, let an expression write it, e.g. "
        "{{ JSON.stringify({ output: $json.output }) }}, so that quotes and line breaks are escaped.",
    )


def _check_plain(text: str) -> str:
    if is_markup(text):
        raise unusable(Defect.MARKUP_PAGE)
    if _EVENT_STREAM.match(text.lstrip()):
        raise UnusableAnswer(
            Defect.EVENT_STREAM,
            "n8n's answer is a stream of Server-Sent Events, passed through from another service: turn streaming "
            "off in the request to it, and answer with its text.",
        )
    return text


def _conclude(
    reading: AnswerReading,
    parts: list[ReplyPart],
    value: Any,
    *,
    answers_later: bool,
    streamed: bool = False,
    warnings: list[str] | None = None,
) -> N8nAnswer:
    if not parts and not reading.says_something:
        if not (answers_later and Defect.STARTED in reading.reasons):
            raise reading.explain(value)
        reading.is_accepted = True
    if reading.is_accepted and (answers_later or not parts):
        outcome = Outcome.LATER
    else:
        outcome = Outcome.REPLY if parts else Outcome.SILENT
    return N8nAnswer(
        outcome=outcome,
        parts=tuple(parts),
        handoff=reading.handoff,
        within_s=reading.within_s if outcome is Outcome.LATER else None,
        usage=reading.usage,
        execution_id=reading.execution_id,
        streamed=streamed,
        warnings=(*reading.warnings, *(warnings or ())),
    )
