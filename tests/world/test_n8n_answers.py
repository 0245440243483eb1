"""Every answer that n8n is known to give, with what it must become.

Each row names where the case comes from: `n8n 2.41` and `n8n source` were seen in a running n8n or in the text of
a version of it; `model` are the forms in which models and their nodes write; `proxy` is what stands before n8n.
"""

import gzip
import json
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msgctl.domain.errors import BadReply, FaultClass, WorkflowUnreachable
from msgctl.domain.visible_text import is_visible
from msgctl.processing.answer_faults import (
    AnswerFault,
    Defect,
    N8nStarting,
    StreamFailed,
    UnusableAnswer,
)
from msgctl.processing.answer_reader import read_answer
from msgctl.processing.answer_stream import EventKind, StreamReader
from msgctl.processing.answers import N8nAnswer, Outcome, Question, ReplyPart
from msgctl.processing.delta_gate import DeltaGate
from msgctl.processing.n8n_downtime import describe_rejection, is_n8n_down, may_have_run
from msgctl.processing.stream_reply import Blocks
from msgctl.processing.thinking import strip_thinking

CAPTURES = Path(__file__).parent / "n8n"
ASKED = "Qual é o prazo?"
QUESTION = Question(text=ASKED, texts=(ASKED,), urls=frozenset({"https://gw.example/files/own"}))
CALL = {
    "messageId": "m-1",
    "conversationId": "c-1",
    "agent": {"id": "a", "name": "Ana", "systemPrompt": ""},
    "message": ASKED,
    "chatInput": ASKED,
    "history": [{"role": "user", "content": "Oi"}],
    "messages": [{"messageId": "m-1", "text": ASKED, "timestamp": "2026-01-01T00:00:00Z"}],
    "attachments": [{"kind": "image", "url": "https://gw.example/files/own"}],
    "channel": "web",
    "channelMetadata": {},
}
"""What n8n was called with, as `{...body}` repeats it."""


def compress(data: bytes) -> bytes:
    """Compressed without the time of day, so that the names of tests are the same in every process."""
    return gzip.compress(data, mtime=0)


def text_block(text: str) -> dict[str, str]:
    """A content block of a model."""
    return {"type": "text", "text": text}


def in_json(value: Any) -> bytes:
    """A value as the body of an answer."""
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def read(value: Any, headers: dict[bytes, bytes] | None = None, **options: Any) -> N8nAnswer:
    """The answer of a body, asked by the question of this page."""
    return read_answer(in_json(value), headers or {}, question=QUESTION, **options)


REPLIES: list[tuple[str, Any, list[str]]] = [
    # The first field that holds text, in any nesting.
    ("contract", {"message": "Olá"}, ["Olá"]),
    ("contract", {"output": "Olá"}, ["Olá"]),
    ("contract", {"text": "Olá"}, ["Olá"]),
    ("contract", {"response": "Olá"}, ["Olá"]),
    ("contract", {"answer": "Olá"}, ["Olá"]),
    ("contract", {"response": {"message": "Olá", "tokensUsed": 3}}, ["Olá"]),
    ("contract", {"message": "A", "output": "B"}, ["A"]),
    ("workflow", {"output": None, "text": "Olá"}, ["Olá"]),
    ("workflow", {"output": "   ", "text": "Olá"}, ["Olá"]),
    ("workflow", {"output": "\u200b", "text": "Olá"}, ["Olá"]),
    ("workflow", {"output": 0, "answer": "Olá"}, ["Olá"]),
    ("workflow", {"message": {"id": 7}, "output": "Olá"}, ["Olá"]),
    ("workflow", {"message": [], "output": "Olá"}, ["Olá"]),
    ("n8n 2.41: structured output parser", {"output": {"message": "Olá"}}, ["Olá"]),
    ("n8n 2.41: structured output parser", {"output": {"output": "Olá"}}, ["Olá"]),
    ("n8n 2.41: item", [{"json": {"output": "Olá"}, "pairedItem": {"item": 0}}], ["Olá"]),
    ("n8n 2.41: aggregate", {"data": {"output": "Olá"}}, ["Olá"]),
    ("n8n 2.41: aggregate", {"data": [{"output": "Um."}, {"output": "Dois."}]}, ["Um.", "Dois."]),
    ("n8n 2.41: JSON as text", '{"output": "Olá"}', ["Olá"]),
    ("workflow: JSON as text", {"output": '{"message": "Olá", "tokensUsed": 3}'}, ["Olá"]),
    ("workflow: JSON as text", {"data": '{"output": "Olá"}'}, ["Olá"]),
    ("workflow: JSON that is the reply", {"output": '{"price": 3}'}, ['{"price": 3}']),
    ("workflow: JSON that is the reply", {"output": "[1]"}, ["[1]"]),
    ("workflow", "Olá", ["Olá"]),
    ("workflow", b"Ol\xc3\xa1\n", ["Olá"]),
    ("workflow: text", b"[Aviso] Fechado.", ["[Aviso] Fechado."]),
    ("workflow: text", b"{Ana} chega", ["{Ana} chega"]),
    ("workflow: text", b"42 reais", ["42 reais"]),
    ("workflow: text", b'"Sim", disse ela', ['"Sim", disse ela']),
    ("workflow: text with tags", b"<b>Sim</b>", ["<b>Sim</b>"]),
    ("workflow: text with tags", b"<3 obrigada", ["<3 obrigada"]),
    # Several parts.
    ("n8n 2.41: all incoming items", [{"message": "Um."}, {"message": "Dois."}], ["Um.", "Dois."]),
    ("n8n 2.41: all incoming items", [{"text": "Um."}, {"text": "Dois."}], ["Um.", "Dois."]),
    ("workflow", [{"output": "Um."}, {"id": 3}, {"output": ""}], ["Um."]),
    ("workflow", {"output": ["Um.", "Dois."]}, ["Um.", "Dois."]),
    ("workflow: one object a line", b'{"output": "Um."}\n{"output": "Dois."}\n', ["Um.", "Dois."]),
    ("contract", {"messages": ["Um.", {"text": "Dois."}]}, ["Um.", "Dois."]),
    ("workflow", {"messages": [], "output": "Olá"}, ["Olá"]),
    # What models write.
    ("model: Anthropic", {"output": [{"type": "thinking", "thinking": "hm"}, text_block("Olá")]}, ["Olá"]),
    ("model: Anthropic", [{"type": "redacted_thinking", "data": "x"}, text_block("Olá")], ["Olá"]),
    ("model: Anthropic", {"content": [text_block("São "), text_block("três dias.")]}, ["São três dias."]),
    (
        "model: a tool between",
        {
            "output": [
                text_block("Vejo."),
                {"type": "tool_use", "name": "t", "input": {"text": "x"}},
                text_block("São 3."),
            ]
        },
        ["Vejo.\n\nSão 3."],
    ),
    ("model: OpenAI", {"message": {"role": "assistant", "content": "Olá"}, "finish_reason": "stop"}, ["Olá"]),
    ("model: OpenAI", {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Olá"}}]}, ["Olá"]),
    (
        "model: OpenAI responses",
        {
            "output": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Olá"}]},
            ]
        },
        ["Olá"],
    ),
    (
        "model: Gemini",
        {"content": {"role": "model", "parts": [{"text": "hm", "thought": True}, {"text": "Olá"}]}},
        ["Olá"],
    ),
    ("model: Gemini", {"candidates": [{"content": {"parts": [{"text": "Olá"}]}}]}, ["Olá"]),
    (
        "model: a chat's log",
        {
            "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": "Oi"},
                {"role": "assistant", "content": "Antes."},
                {"role": "user", "content": ASKED},
                {"role": "tool", "content": "{}"},
                {"role": "assistant", "content": "Três dias."},
            ]
        },
        ["Três dias."],
    ),
    (
        "model: a log that ends before this turn",
        {
            "messages": [{"role": "user", "content": "Oi"}, {"role": "assistant", "content": "Antes."}],
            "output": "Olá",
        },
        ["Olá"],
    ),
    ("model: completion", {"choices": [{"text": "Olá", "index": 0, "finish_reason": "stop"}]}, ["Olá"]),
    ("model: Ollama", {"model": "m", "message": {"role": "assistant", "content": "Olá"}, "done": True}, ["Olá"]),
    ("workflow: a type of its own", [{"type": "toolbox", "output": "Olá"}], ["Olá"]),
    ("a German zero", {"output": "Null"}, ["Null"]),
    # Thinking, at the beginning alone.
    ("model: DeepSeek", {"output": "<think>\nhm\n</think>\n\nClaro, faço a troca."}, ["Claro, faço a troca."]),
    ("model", {"output": " \n<Thinking effort='3'>a</THINKING> Olá"}, ["Olá"]),
    ("model", {"output": "<think></think>\n<think>b</think>Olá"}, ["Olá"]),
    ("model", {"output": "<think>I may write <think> here</think>Olá"}, ["Olá"]),
    ("model", {"output": "<think>a<think>b</think>c</think>Olá"}, ["Olá"]),
    ("model: started inside its thinking", {"output": "First I look.\n</think>\n\nOlá"}, ["Olá"]),
    ("model: Kimi", {"output": "◁think▷a◁/think▷Olá"}, ["Olá"]),
    ("model: Magistral", {"output": "[THINK]a[/THINK]Olá"}, ["Olá"]),
    (
        "model: gpt-oss",
        {
            "output": "<|channel|>analysis<|message|>a<|end|>"
            "<|start|>assistant<|channel|>final<|message|>Olá<|return|>"
        },
        ["Olá"],
    ),
    ("model: Open Thoughts", {"output": "<|begin_of_thought|>a<|end_of_thought|>\nOlá"}, ["Olá"]),
    ("model: explains its tags", {"output": "```\n<think>\nx\n</think>\n```"}, ["```\n<think>\nx\n</think>\n```"]),
    ("model: Open WebUI", {"output": '<details type="reasoning" done="true">a</details>\nOlá'}, ["Olá"]),
    ("model: escaped", {"output": "&lt;think&gt;a&lt;/think&gt;Olá"}, ["Olá"]),
    ("model: text", b"<think>a</think>Ol\xc3\xa1", ["Olá"]),
    ("model: JSON behind its thinking", {"output": '<think>a</think>\n{"message": "Olá"}'}, ["Olá"]),
    ("model: JSON behind its thinking", b'<think>a</think>{"output": "Ok"}', ["Ok"]),
    ("customer's own tag", {"output": "Use a tag <think> no HTML"}, ["Use a tag <think> no HTML"]),
    ("customer's own tag", {"output": "Feche com </think> sempre."}, ["Feche com </think> sempre."]),
    ("customer's own tag", {"output": "<thinker> é outra coisa"}, ["<thinker> é outra coisa"]),
    # The question, repeated.
    ("n8n 2.41: {...body, output}", {**CALL, "output": "Três dias."}, ["Três dias."]),
    ("workflow", {"message": ASKED, "sessionId": "c-1", "output": "Três dias."}, ["Três dias."]),
    ("workflow", {"text": f" {ASKED}\n", "response": {"text": "Três dias."}}, ["Três dias."]),
    ("workflow", {"output": {"message": ASKED}, "answer": "Três dias."}, ["Três dias."]),
    ("workflow", [{"message": ASKED}, {"output": "Três dias."}], ["Três dias."]),
    ("an echo may be meant", {"message": ASKED}, [ASKED]),
    ("parts are meant", {"messages": [ASKED, "Três dias."]}, [ASKED, "Três dias."]),
    # Bytes.
    ("Python: byte order mark", b'\xef\xbb\xbf{"output":"Ol\xc3\xa1"}', ["Olá"]),
    ("PowerShell: UTF-16", '{"output":"Olá"}'.encode("utf-16"), ["Olá"]),
    ("PowerShell: UTF-16 without a mark", '{"output":"Olá"}'.encode("utf-16-le"), ["Olá"]),
    ("UTF-32", '{"output":"Olá"}'.encode("utf-32"), ["Olá"]),
    ("half an emoji", b'{"output":"Tudo certo \\ud83d"}', ["Tudo certo \ufffd"]),
    ("half an emoji as UTF-8", b'{"output":"Tudo certo \xed\xa0\xbd"}', ["Tudo certo \ufffd"]),
    ("a torn pair", b'{"output":"Ol\xc3\xa1 \\ud83d\\ude00"}', ["Olá 😀"]),
    ("NUL", b'{"output":"a\\u0000b"}', ["ab"]),
    ("n8n 2.41: expression in JSON", b'{"output": "linha um\nlinha dois"}', ["linha um\nlinha dois"]),
    ("emoji of several characters", {"output": "👨\u200d👩\u200d👧"}, ["👨\u200d👩\u200d👧"]),
    ("text behind an invisible mark", {"output": "\u200bOi"}, ["\u200bOi"]),
]


@pytest.mark.parametrize(("source", "body", "texts"), REPLIES)
def test_a_reply_is_read(source: str, body: Any, texts: list[str]) -> None:
    """Each shape gives its texts, in order, at the first attempt."""
    answer = read(body)
    assert (answer.outcome, [part.text for part in answer.parts]) == (Outcome.REPLY, texts), source


HEADED: list[tuple[dict[bytes, bytes], bytes, str]] = [
    ({b"content-type": b"application/json; charset=iso-8859-1"}, b'{"output":"Ol\xe1"}', "Olá"),
    ({b"content-type": b'text/plain; charset="windows-1252"'}, b"\x93Ol\xe1\x94", "“Olá”"),
    ({b"content-type": b"application/json; charset=latin1"}, '{"output":"Olá"}'.encode(), "Olá"),
    ({b"content-type": b"application/json; charset=utf-16"}, '{"output":"Olá"}'.encode("utf-16-le"), "Olá"),
    ({b"content-type": b"application/json; charset=UTF16BE"}, '{"output":"Olá"}'.encode("utf-16-be"), "Olá"),
    ({b"content-type": b"text/html; charset=utf-8"}, "Você disse: x".encode(), "Você disse: x"),
    ({b"content-type": b"image/png"}, b'{"output":"Ok"}', "Ok"),
    ({b"content-encoding": b"gzip"}, compress('{"output":"Olá"}'.encode()), "Olá"),
    ({b"content-encoding": b"x-gzip, identity"}, compress(b'{"output":"Ok"}'), "Ok"),
    ({}, compress(b'{"output":"Ok"}'), "Ok"),
    ({b"content-encoding": b"gzip, gzip"}, compress(compress(b'{"output":"Ok"}')), "Ok"),
    ({b"content-encoding": b"gzip"}, compress(b'{"out') + compress(b'put":"Ok"}'), "Ok"),
    ({b"content-encoding": b"deflate"}, zlib.compress(b'{"output":"Ok"}'), "Ok"),
    ({b"content-encoding": b"deflate"}, zlib.compress(b'{"output":"Ok"}')[2:-4], "Ok"),
    ({b"content-encoding": b"br"}, b'{"output":"Ok"}', "Ok"),
    ({b"content-encoding": b"gzip"}, b'{"output":"Ok"}', "Ok"),
]


@pytest.mark.parametrize(("headers", "body", "text"), HEADED)
def test_headers_are_asked_where_the_bytes_leave_it_open(
    headers: dict[bytes, bytes], body: bytes, text: str
) -> None:
    """Charset and compression are undone; a header that the bytes belie is passed over."""
    assert read(body, headers).text == text


FAULTS: list[tuple[str, Any, Defect, str]] = [
    # n8n's own sentences and notes.
    ("n8n 2.41", {"message": "Workflow was started"}, Defect.STARTED, "Respond to Webhook"),
    ("n8n docs", {"message": "Workflow got started."}, Defect.STARTED, "When Last Node Finishes"),
    ("n8n docs: as text", b"Workflow got started", Defect.STARTED, "Respond"),
    ("n8n 2.41: Chat Trigger", {"executionStarted": True, "executionId": "12"}, Defect.STARTED, "replyUrl"),
    ("n8n 2.41: Only Run If", {"message": "Webhook call received"}, Defect.NOT_RUN, "Only Run If"),
    (
        "n8n 2.41",
        {"message": "Workflow executed successfully but no data was returned"},
        Defect.NO_DATA,
        "last node",
    ),
    (
        "n8n 2.41",
        {"message": "Workflow executed successfully but the last node did not return any data"},
        Defect.NO_DATA,
        "last node",
    ),
    (
        "n8n 0.2",
        {"message": "Workflow did execute sucessfully but no data got returned."},
        Defect.NO_DATA,
        "last node",
    ),
    (
        "n8n 0.2",
        {"message": "Workflow did execute sucessfully but the last node did not return any data."},
        Defect.NO_DATA,
        "last node",
    ),
    ("n8n 0.150", {"message": "Workflow executed successfully"}, Defect.NO_DATA, "last node"),
    ("n8n source", {"code": 0, "message": "No item to return got found"}, Defect.NO_DATA, "last node"),
    ("n8n 2.41", {"code": 0, "message": "No item to return was found"}, Defect.NO_DATA, "last node"),
    ("n8n 0.2", {"message": "Workflow did error."}, Defect.FAILED, "execution"),
    ("n8n 2.41", {"message": "Error in workflow"}, Defect.FAILED, "execution"),
    ("n8n 2.41: queue mode", {"message": "Workflow execution failed"}, Defect.FAILED, "execution"),
    ("n8n source", {"message": "There was a problem executing the workflow"}, Defect.FAILED, "execution"),
    (
        "n8n source",
        {"code": 500, "message": "Something of its own", "stacktrace": "at x"},
        Defect.FAILED,
        "execution",
    ),
    (
        "n8n 2.41, status rewritten by a proxy",
        {"code": 404, "message": 'The requested webhook "POST x" is not registered.', "hint": "activate"},
        Defect.NOT_REGISTERED,
        "active",
    ),
    ("n8n 2.41: form", {"formWaitingUrl": "https://n8n.example/form-waiting/1"}, Defect.FORM, "form"),
    ("n8n source", {"resumeUrl": "https://n8n.example/webhook-waiting/1"}, Defect.FORM, "waits"),
    (
        "n8n source: LangChain",
        {"output": "Agent stopped due to max iterations."},
        Defect.GAVE_UP,
        "Max Iterations",
    ),
    (
        "n8n source: LangChain",
        {"output": "Agent stopped due to iteration limit or time limit."},
        Defect.GAVE_UP,
        "Max Iterations",
    ),
    ("n8n 2.41: in an item", [{"json": {"message": "  workflow WAS started "}}], Defect.STARTED, "Respond"),
    ("JavaScript", {"output": "[object Object]"}, Defect.EXPRESSION, "Expression"),
    ("JavaScript", {"output": "undefined"}, Defect.EXPRESSION, "Expression"),
    ("n8n: a fixed field", {"output": "{{ $json.output }}"}, Defect.EXPRESSION, "Expression"),
    # No text.
    ("workflow", {"output": 42}, Defect.NO_TEXT, "output holds a number"),
    ("workflow", {"output": True}, Defect.NO_TEXT, "output holds true or false"),
    ("workflow", {"output": ""}, Defect.NO_TEXT, "output holds an empty text"),
    ("workflow", {"output": {"price": 3}}, Defect.NO_TEXT, "price holds a number"),
    ("workflow: JSON as text", {"output": '{"message": ""}'}, Defect.NO_TEXT, "message holds an empty text"),
    ("workflow", {"reply": "Olá"}, Defect.NO_TEXT, "reply holds a text"),
    ("workflow", {"data": "Olá"}, Defect.NO_TEXT, "data holds a text"),
    ("n8n 2.41: no item", [], Defect.NOT_A_REPLY, "an empty list"),
    ("n8n 2.41: chat's history", {"data": []}, Defect.NO_TEXT, "data holds an empty list"),
    ("n8n 2.41: on error, go on", {"error": {"message": "boom", "name": "X"}}, Defect.NO_TEXT, "On Error"),
    ("n8n: 'Always Output Data'", [{}], Defect.NOT_A_REPLY, "an empty object"),
    ("workflow", 42, Defect.NOT_A_REPLY, "a number"),
    ("workflow", True, Defect.NOT_A_REPLY, "true or false"),
    ("workflow", None, Defect.NOT_A_REPLY, "nothing"),
    ("workflow", {}, Defect.NOT_A_REPLY, "an empty object"),
    ("workflow", {"output": "\u200b\u2060\ufeff"}, Defect.NO_TEXT, "cannot be seen"),
    ("workflow", {"output": "\u2800"}, Defect.NO_TEXT, "cannot be seen"),
    ("workflow", {"output": "\u3164\u115f\ufe0f"}, Defect.NO_TEXT, "cannot be seen"),
    ("workflow", {"output": "\u0001\u0002"}, Defect.NO_TEXT, "cannot be seen"),
    ("workflow", {"output": "\u0000"}, Defect.NO_TEXT, "cannot be seen"),
    ("workflow", {"output": "\u202e\u200f \u2003"}, Defect.NO_TEXT, "cannot be seen"),
    ("workflow", {"message": float("nan")}, Defect.NO_TEXT, "message holds nothing"),
    ("workflow", {"attachments": [{"url": "file:///etc/passwd"}]}, Defect.NO_TEXT, "attachments[0]"),
    ("n8n 2.41: the webhook's own item", {**CALL}, Defect.ECHO_ONLY, "repeats the call"),
    ("model", {"output": "<think>abc"}, Defect.THINKING_ONLY, "thinking"),
    ("model", {"output": "<think>abc</think>\n"}, Defect.THINKING_ONLY, "thinking"),
    ("model", {"output": [{"type": "thinking", "thinking": "hm"}]}, Defect.NO_TEXT, "output holds"),
    # Bytes.
    ("n8n 2.41: noData", b"", Defect.EMPTY, "empty"),
    ("workflow", b" \r\n", Defect.EMPTY, "empty"),
    (
        "n8n 2.41: a page of HTML",
        b"<!DOCTYPE html><html><body>x</body></html>",
        Defect.MARKUP_PAGE,
        "base_url",
    ),
    ("n8n's editor", b"\n<!-- x --><html lang=en><title>n8n.io</title>", Defect.MARKUP_PAGE, "base_url"),
    (
        "another service",
        b"<?xml version='1.0'?><Response><Message>x</Message></Response>",
        Defect.MARKUP_PAGE,
        "XML",
    ),
    ("another service", b"<Response><Message>x</Message></Response>", Defect.MARKUP_PAGE, "XML"),
    ("HTTP Request node", {"output": "<!doctype html><html>x</html>"}, Defect.MARKUP_PAGE, "HTML"),
    ("another service", b'event: delta\ndata: {"x":1}\n\n', Defect.EVENT_STREAM, "Server-Sent Events"),
    ("n8n: a quote in an expression", b'{"output": "Ela disse "sim""}', Defect.BROKEN_JSON, "JSON.stringify"),
    ("cut", b'{"output":"Ol', Defect.BROKEN_JSON, "JSON"),
    ("Python: repr", b"{'output': 'Ok'}", Defect.BROKEN_JSON, "JSON"),
    ("hostile", b"[" * 100_000, Defect.TOO_DEEP, "nested"),
    ("hostile", b'{"output":' * 50 + b'"x"' + b"}" * 50, Defect.TOO_DEEP, "nested"),
    ("latin-1 unnamed", b'{"output":"Ol\xe1"}', Defect.NOT_UTF8, "UTF-8"),
    ("a Word file", b"PK\x03\x04" + bytes(range(64)) * 4, Defect.BINARY, "file of 260 bytes"),
]


@pytest.mark.parametrize(("source", "body", "reason", "told"), FAULTS)
def test_what_can_never_be_a_reply_is_final(source: str, body: Any, reason: Defect, told: str) -> None:
    """One call is enough: the fault is final, has its stable code, and says what was there and what to change."""
    with pytest.raises(AnswerFault) as caught:
        read(body)
    assert (caught.value.reason, caught.value.fault) == (reason, FaultClass.FINAL), source
    assert told in caught.value.message
    assert caught.value.code == ("n8n_bad_reply" if isinstance(caught.value, BadReply) else "n8n_misconfigured")


@pytest.mark.parametrize(
    ("headers", "body", "reason", "told"),
    [
        (
            {b"content-type": b"application/json; charset=utf-8"},
            b'{"output":"Ol\xe1"}',
            Defect.NOT_UTF8,
            "UTF-8",
        ),
        ({b"content-encoding": b"br"}, b"\x0b\x05\x80xx\x03", Defect.COMPRESSED, "br"),
        ({b"content-encoding": b"zstd"}, b"\x28\xb5\x2f\xfdxx", Defect.COMPRESSED, "zstd"),
        ({b"content-encoding": b"gzip"}, compress(b"x" * 99)[:-9], Defect.COMPRESSED, "gzip"),
        ({b"content-encoding": b"gzip"}, compress(b"x" * 4_000_000), Defect.TOO_LARGE, "n8n.max_answer"),
        ({}, in_json({"output": "x" * 2_000}), Defect.TOO_LARGE, "n8n.max_answer"),
    ],
)
def test_limits_are_final(headers: dict[bytes, bytes], body: bytes, reason: Defect, told: str) -> None:
    """A body that cannot be unpacked, or is too large, is refused once, by its own name."""
    with pytest.raises(UnusableAnswer) as caught:
        read(body, headers, max_text=1_000, max_body=1_000_000)
    assert caught.value.reason is reason
    assert told in caught.value.message


def test_nothing_of_an_answer_is_quoted() -> None:
    """An error names fields, and never what they held or a name that could be a customer's words."""
    for body in ({"reply": "segredo"}, {"segredo é meu": 1}, {"error": "segredo"}, {"output": {"x": ["segredo"]}}):
        with pytest.raises(UnusableAnswer) as caught:
            read(body)
        assert "segredo" not in caught.value.message


@pytest.mark.parametrize(
    ("data", "kind", "mime_type"),
    [
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "image", "image/png"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image", "image/jpeg"),
        (b"GIF89a\x01\x00", "image", "image/gif"),
        (b"RIFF\x24\x00\x00\x00WEBPVP8 ", "image", "image/webp"),
        (b"OggS\x00\x02\x00\x00OpusHead", "audio", "audio/ogg"),
        (b"ID3\x04\x00\x00\x00", "audio", "audio/mpeg"),
        (b"\xff\xfb\x90\x00\x00", "audio", "audio/mpeg"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "audio", "audio/wav"),
        (b"\x00\x00\x00\x18ftypmp42", "video", "video/mp4"),
        (b"%PDF-1.7\n%\xe2\xe3", "document", "application/pdf"),
    ],
)
def test_a_file_is_one_attachment(data: bytes, kind: str, mime_type: str) -> None:
    """An image, a sound, a film or a PDF is known by its first bytes, whatever the header says."""
    answer = read(data, {b"content-type": b"application/json"})
    (part,) = answer.parts
    (file,) = part.attachments
    assert (part.text, file.kind, file.mime_type, file.data) == ("", kind, mime_type, data)


def test_attachments_and_choices_go_along() -> None:
    """Beside the text or alone; what is malformed is left out and told."""
    answer = read(
        {
            "output": "Veja:",
            "attachments": [
                {"url": "https://x.example/a.pdf", "kind": "document", "name": "a.pdf", "caption": "A"},
                {"fileId": "f-1"},
                {"url": "javascript:1"},
            ],
            "choices": [{"id": 1, "title": "Sim"}, "Não", {"description": "x"}],
            "delay": 2,
        }
    )
    (part,) = answer.parts
    assert [(one.url, one.file_id, one.kind) for one in part.attachments] == [
        ("https://x.example/a.pdf", "", "document"),
        ("", "f-1", ""),
    ]
    assert [(one.id, one.title) for one in part.choices] == [("1", "Sim"), ("Não", "Não")]
    assert (part.text, part.delay_s) == ("Veja:", 2.0)
    assert len(answer.warnings) == 2
    assert read({"choices": [{"id": "a"}]}).parts[0].choices[0].title == "a"
    assert (
        read({"attachments": {"url": "https://x.example/a"}}).parts[0].attachments[0].url == "https://x.example/a"
    )


def test_parts_hold_what_is_theirs() -> None:
    """Each of `messages` has its own text, attachments, choices and delay."""
    first, second = read(
        {"messages": ["Um.", {"attachments": [{"url": "https://x.example/a"}], "delay": 1.5, "choices": ["Ok"]}]}
    ).parts
    assert first == ReplyPart("Um.")
    assert (second.text, second.delay_s, len(second.attachments), len(second.choices)) == ("", 1.5, 1, 1)


def test_a_customers_own_attachments_are_not_sent_back() -> None:
    """`{...body, output}` repeats them; what the workflow added itself goes out."""
    assert read({**CALL, "output": "Recebi."}).parts == (ReplyPart("Recebi."),)
    added = read({**CALL, "attachments": [{"url": "https://x.example/new"}]}).parts
    assert [(part.text, len(part.attachments)) for part in added] == [("", 1)]


@pytest.mark.parametrize(
    ("body", "options", "outcome", "texts"),
    [
        ({"messages": []}, {}, Outcome.SILENT, []),
        ({"silent": True}, {}, Outcome.SILENT, []),
        ({"silent": "true", "output": "never"}, {}, Outcome.SILENT, []),
        ({"output": {"silent": True}}, {}, Outcome.SILENT, []),
        ({"silent": False, "output": "Olá"}, {}, Outcome.REPLY, ["Olá"]),
        ({"accepted": True, "within": 30}, {}, Outcome.LATER, []),
        ({"accepted": True, "output": "Olá"}, {}, Outcome.REPLY, ["Olá"]),
        ({"accepted": True, "output": "Um momento."}, {"answers_later": True}, Outcome.LATER, ["Um momento."]),
        ({"accepted": False, "output": "Olá"}, {"answers_later": True}, Outcome.REPLY, ["Olá"]),
        ({"message": "Workflow was started"}, {"answers_later": True}, Outcome.LATER, []),
        ({"executionStarted": True}, {"answers_later": True}, Outcome.LATER, []),
        ({"output": "Olá"}, {"answers_later": True}, Outcome.REPLY, ["Olá"]),
        ({"handoff": True}, {}, Outcome.SILENT, []),
        ({"handoff": {"reason": "angry"}, "output": "Já chamo."}, {}, Outcome.REPLY, ["Já chamo."]),
    ],
)
def test_what_is_no_reply_has_its_outcome(
    body: Any, options: dict[str, Any], outcome: Outcome, texts: list[str]
) -> None:
    """Silence, a later reply and a handoff are answers too."""
    answer = read(body, **options)
    assert (answer.outcome, [part.text for part in answer.parts]) == (outcome, texts)


def test_handoff_later_and_usage_carry_their_values() -> None:
    """Reason, time and numbers arrive; wrong types stay None; what stands further out wins."""
    assert read({"output": {"handoff": {"reason": "angry"}}}).handoff is not None
    handoff = read({"handoff": "angry", "output": "x"}).handoff
    assert handoff is not None
    assert handoff.reason == "angry"
    assert read({"handoff": False, "output": "x"}).handoff is None
    assert read({"accepted": True, "within": 30}).within_s == 30.0
    assert read({"accepted": True, "within": -1}).within_s is None
    usage = read({"response": {"message": "x", "tokensUsed": 3, "model": "inner"}, "model": "m"}).usage
    assert (usage.tokens_used, usage.model, usage.finish_reason) == (3, "m", None)
    usage = read({"message": "x", "tokensUsed": "3", "model": 7, "finishReason": "stop"}).usage
    assert (usage.tokens_used, usage.model, usage.finish_reason) == (None, None, "stop")
    assert read({"message": "x", "tokensUsed": True}).usage.tokens_used is None
    assert read([{"output": "x", "executionId": 12}]).execution_id == "12"


def lines(*chunks: dict[str, Any]) -> bytes:
    """A stream of these lines."""
    return b"".join(json.dumps(chunk).encode() + b"\n" for chunk in chunks)


def metadata(node: str, item: int = 0, run: int = 0) -> dict[str, Any]:
    """The metadata of a node's lines."""
    return {"metadata": {"nodeId": node, "nodeName": f"Node {node}", "itemIndex": item, "runIndex": run}}


def said(node: str, *pieces: str, item: int = 0) -> list[dict[str, Any]]:
    """A whole block."""
    told = metadata(node, item)
    return [
        {"type": "begin"} | told,
        *({"type": "item", "content": piece} | told for piece in pieces),
        {"type": "end"} | told,
    ]


WHOLE = "You said: hello there (2 messages) ✓ olá, *tudo* bem?"
RECORDED: list[tuple[str, list[str] | Defect]] = [
    ("s-agent", [WHOLE]),
    ("s-agent-set", [WHOLE]),
    ("s-agent-3items", ["You said: item 3 (2 messages) ✓ olá, *tudo* bem?"]),
    ("s-agent-respond", [WHOLE]),
    ("s-agent-set-respond", [f"changed: {WHOLE}"]),
    ("s-agent-off-respond", [WHOLE]),
    ("s-agent-then-error", [WHOLE]),
    ("s-agent-tool", ['The tool said: [{"response":"4"}]']),
    ("s-agent-tool-text-before-tool", ['The tool said: [{"response":"4"}]']),
    (
        "s-two-agents",
        [f"You said: second round about: {WHOLE} (2 messages) ✓ olá, *tudo* bem?"],
    ),
    ("s-respond-all3", ["part 1", "part 2", "part 3"]),
    ("s-respond-json", ["You said: hello there"]),
    ("s-respond-text", ["plain: You said: hello there"]),
    ("s-errhandled", ["went on"]),
    ("s-stop-continue", ["went on"]),
    ("s-wait40-keepalive", ["after wait"]),
    ("s-error-first", Defect.STREAM_ERROR),
    ("queue-mode-s-error-first", Defect.STREAM_ERROR),
    ("s-stop", Defect.STREAM_ERROR),
    ("s-agent-model-401", Defect.STREAM_ERROR),
    ("s-agent-model-429", Defect.STREAM_ERROR),
    ("s-agent-model-cut-midway", Defect.STREAM_ERROR),
    ("s-agent-n8n-kill9-midway", Defect.STREAM_CUT),
    ("queue-mode-s-agent-worker-kill9-mid-items", Defect.STREAM_CUT),
    ("queue-mode-s-agent-worker-kill9", Defect.STREAM_CUT),
]


def load(name: str) -> bytes:
    """The body of a recorded stream."""
    return (CAPTURES / f"{name}.ndjson").read_bytes()


def test_every_recording_is_used() -> None:
    """No recording lies about without a row."""
    assert {path.stem for path in CAPTURES.iterdir()} == {name for name, _expected in RECORDED}


@pytest.mark.parametrize(("name", "expected"), RECORDED)
@pytest.mark.parametrize("way", ["lines", "one line", "crlf", "gzip"])
def test_a_recorded_stream_is_read_whole(name: str, expected: list[str] | Defect, way: str) -> None:
    """What n8n 2.41 streamed, as it was, without line breaks, and compressed as a browser is sent it."""
    body = load(name)
    body = {"one line": body.replace(b"\n", b""), "crlf": body.replace(b"\n", b"\r\n")}.get(way, body)
    body = compress(body) if way == "gzip" else body
    if isinstance(expected, Defect):
        with pytest.raises(StreamFailed) as caught:
            read(body)
        assert (caught.value.reason, caught.value.fault) == (expected, FaultClass.TRANSIENT)
        assert caught.value.code == "n8n_stream_failed"
    else:
        answer = read(body)
        assert [part.text for part in answer.parts] == expected
        assert answer.streamed


def test_all_blocks_are_parts_where_that_is_set() -> None:
    """`blocks = all` gives every block, and what a later node repeats only once."""
    assert [part.text for part in read(load("s-agent-tool-text-before-tool"), blocks=Blocks.ALL).parts] == [
        "Let me look. ",
        'The tool said: [{"response":"4"}]',
    ]
    assert len(read(load("s-agent-3items"), blocks=Blocks.ALL).parts) == 3
    assert [part.text for part in read(load("s-agent-respond"), blocks=Blocks.ALL).parts] == [WHOLE]
    assert [part.text for part in read(load("s-respond-all3"), blocks=Blocks.ALL).parts] == [
        "part 1",
        "part 2",
        "part 3",
    ]


STREAMS: list[tuple[str, bytes, list[str] | Defect]] = [
    (
        "without metadata",
        b'{"type":"begin"}{"type":"item","content":"Ol"}{"type":"item","content":"a!"}{"type":"end"}',
        ["Ola!"],
    ),
    ("a node begins again", lines(said("a", "Um")[0], said("a", "Um")[1], *said("a", "Dois")), ["Dois"]),
    (
        "two agents at once",
        lines(
            said("a", "x")[0],
            said("b", "y")[0],
            {"type": "item", "content": "A"} | metadata("a"),
            {"type": "item", "content": "B"} | metadata("b"),
            {"type": "end"} | metadata("a"),
            {"type": "item", "content": "B"} | metadata("b"),
            {"type": "end"} | metadata("b"),
        ),
        ["BB"],
    ),
    ("an answer in a block", lines(*said("a", '{"output": "Olá", "tokensUsed": 3}')), ["Olá"]),
    (
        "its items, out of order",
        lines(*said("a", '{"text":"2"}', item=1), *said("a", '{"text":"1"}', item=0)),
        ["1", "2"],
    ),
    ("JSON word by word is a text", lines(*said("a", '{"price":', " 3}")), ['{"price": 3}']),
    ("JSON of a node that is no answer", lines(*said("a", "Olá"), *said("b", '{"ok": true}')), ["Olá"]),
    ("an emoji torn in two", lines(*said("a", "Oi \ud83d", "\ude00")), ["Oi 😀"]),
    ("thinking first", lines(*said("a", "<thi", "nk>hm</th", "ink>\n\nOlá")), ["Olá"]),
    ("JSON behind thinking", lines(*said("a", '<think>hm</think>{"output": "Olá"}')), ["Olá"]),
    ("a block of thinking alone", lines(*said("a", "Olá"), *said("b", "<think>hm</think>")), ["Olá"]),
    ("the question, repeated", lines(*said("a", "Três dias."), *said("b", ASKED)), ["Três dias."]),
    ("an unknown line", lines({"type": "tool-call", "content": "x"}, *said("a", "Olá"), {"type": "new"}), ["Olá"]),
    (
        "a tool's error before the reply",
        lines({"type": "error", "content": "x"} | metadata("t"), *said("a", "Olá")),
        ["Olá"],
    ),
    (
        "an error within, and the rest",
        lines(*said("a", "Um")[:2], {"type": "error"} | metadata("a"), *said("a", " e Dois")[1:]),
        Defect.STREAM_ERROR,
    ),
    (
        "the same node fails later",
        lines(*said("a", "Vejo já."), {"type": "error"} | metadata("a")),
        Defect.STREAM_ERROR,
    ),
    (
        "an error of nobody",
        b'{"type":"begin"}\n{"type":"item","content":"Ol"}\n{"type":"error"}\n',
        Defect.STREAM_ERROR,
    ),
    ("cut in a line", lines(*said("a", "Olá")) + b'{"type":"beg', Defect.STREAM_CUT),
    ("cut in the first line", b'{"type":"begin","metad', Defect.STREAM_CUT),
    ("cut in a block", lines(*said("a", "Olá"), *said("b", "Tchau")[:-1]), Defect.STREAM_CUT),
    ("keepalive alone", b'{"type":"keepalive"}\n', Defect.STREAM_CUT),
    ("nothing said", lines(*said("a")), Defect.STREAM_SILENT),
    ("n8n's own sentence", lines(*said("a", "Agent stopped due to max iterations.")), Defect.GAVE_UP),
    ("thinking alone", lines(*said("a", "<think>hm")), Defect.THINKING_ONLY),
    ("a node's answer without a text", lines(*said("a", '{"ok": true}')), Defect.NO_TEXT),
]


@pytest.mark.parametrize(("name", "body", "expected"), STREAMS)
def test_a_stream_is_settled(name: str, body: bytes, expected: list[str] | Defect) -> None:
    """The last block that says something is the reply; an error or a cut is a failure, never half a text."""
    if isinstance(expected, Defect):
        with pytest.raises(AnswerFault) as caught:
            read(body)
        assert caught.value.reason is expected, name
    else:
        assert [part.text for part in read(body).parts] == expected, name


def test_an_error_of_another_node_after_the_reply_is_a_warning() -> None:
    """It names the node, and what kind of error it was, without the error's words."""
    failed = {"type": "error", "content": "Incorrect API key provided: sk-segredo"} | metadata("b")
    (warning,) = read(lines(*said("a", "Olá"), failed)).warnings
    assert "Node b" in warning
    assert "credentials" in warning
    assert "segredo" not in warning


def test_the_text_of_a_stream_is_bounded_and_not_its_lines() -> None:
    """Many short pieces are small, though their lines are long; a long text is too large."""
    short = lines(*said("a", *["x"] * 900))
    assert read(short, max_text=1_000).text == "x" * 900
    with pytest.raises(UnusableAnswer) as caught:
        read(lines(*said("a", *["x"] * 1_100)), max_text=1_000)
    assert caught.value.reason is Defect.TOO_LARGE


@settings(deadline=None, max_examples=120)
@given(
    st.sampled_from([name for name, _expected in RECORDED]),
    st.lists(st.integers(1, 400), min_size=1),
    st.booleans(),
)
def test_chunks_do_not_matter(name: str, sizes: list[int], one_line: bool) -> None:
    """A recorded stream gives the same blocks and errors however it is cut."""
    body = load(name).replace(b"\n", b"") if one_line else load(name)
    whole, cut = StreamReader(max_text=100_000), StreamReader(max_text=100_000)
    expected = whole.feed(body) + whole.finish()
    events, position, turn = [], 0, 0
    while position < len(body):
        size = sizes[turn % len(sizes)]
        events += cut.feed(body[position : position + size])
        position, turn = position + size, turn + 1
    events += cut.finish()
    assert events == expected
    assert [block.text for block in cut.blocks] == [block.text for block in whole.blocks]
    assert (cut.errors, cut.is_open, cut.keepalives) == (whole.errors, whole.is_open, whole.keepalives)
    for block in cut.blocks:
        shown = "".join(
            event.text for event in events if event.kind is EventKind.DELTA and event.block == block.ordinal
        )
        assert shown == ("" if block.text.lstrip().startswith(("{", "[")) else block.text)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                ["<think>", "</think>", "<", "th", "ink>", " ", "\ud83d", "\ude00", "{", "[THINK]", "[/THINK]"]
            ),
            st.text(max_size=4),
        ),
        max_size=20,
    )
)
def test_deltas_never_show_thinking(pieces: list[str]) -> None:
    """What is shown meanwhile is the end of the text itself, whole characters, and no leading thinking."""
    gate = DeltaGate()
    shown = "".join(gate.feed(piece) for piece in pieces)
    assert not any("\ud800" <= character <= "\udfff" or character == "\0" for character in shown)
    assert not shown.lstrip().startswith(("<think>", "[THINK]", "{"))


DOWN: list[tuple[str, int, bytes, bytes, bool]] = [
    ("nginx", 502, b"text/html", b"<html>\r\n<head><title>502 Bad Gateway</title></head></html>", True),
    ("nginx", 504, b"text/html", b"<html><head><title>504 Gateway Time-out</title></head></html>", True),
    ("Traefik", 502, b"text/plain", b"Bad Gateway", True),
    ("Traefik", 503, b"text/plain", b"no available server\n", True),
    ("Traefik, no router", 404, b"text/plain; charset=utf-8", b"404 page not found\n", True),
    ("Caddy", 502, b"", b"", True),
    ("Cloudflare", 521, b"text/plain", b"error code: 521", True),
    ("Cloudflare", 530, b"text/html", b"<!DOCTYPE html><title>Cloudflare Tunnel error</title>", True),
    ("HAProxy", 503, b"text/html", b"<html><body><h1>503 Service Unavailable</h1>", True),
    ("Envoy", 503, b"text/plain", b"no healthy upstream", True),
    ("Kubernetes", 404, b"text/plain", b"default backend - 404", True),
    (
        "Railway",
        404,
        b"application/json",
        b'{"status":"error","code":404,"message":"Application not found"}',
        True,
    ),
    ("Express, before its routes", 404, b"text/html", b"<!DOCTYPE html><pre>Cannot POST /webhook/x</pre>", True),
    ("n8n 2.41: database", 503, b"application/json", b'{"code":503,"message":"Database is not ready!"}', True),
    (
        "n8n 2.41: not registered",
        404,
        b"application/json",
        b'{"code":404,"message":"The requested webhook \\"POST p\\" is not registered.","hint":"x"}',
        True,
    ),
    ("n8n 2.41: not registered, compressed", 404, b"", compress(b'{"message":"x is not registered"}'), True),
    ("n8n's database, in the request", 500, b"", b'{"code":0,"message":"SQLITE_BUSY: database is locked"}', True),
    (
        "n8n's database, in the request",
        500,
        b"",
        b'{"code":0,"message":"Connection terminated unexpectedly"}',
        True,
    ),
    ("a proxy's 500", 500, b"text/html", b"<html><title>500 Internal Server Error</title>", True),
    ("a 500 of nobody", 500, b"", b"", True),
    ("busy", 429, b"", b"", True),
    ("busy", 408, b"", b"", True),
    ("busy", 425, b"", b"", True),
    ("n8n source: it starts", 200, b"text/html", b"n8n is starting up. Please wait", True),
    ("n8n source: it starts", 200, b"text/html", b"n8n is starting up. Please wait...", True),
    ("a patched page", 200, b"text/html", b"<!DOCTYPE html><title>Starting n8n</title><p>soon</p>", True),
    ("it migrates", 200, b"text/html", b"<html><body><h1>n8n is migrating its database</h1>", True),
    ("a proxy's page", 200, b"text/html", b"<html><head><title>Site under maintenance</title></head>", True),
    ("a proxy's page", 200, b"text/html", b"<html><title>503 Service Temporarily Unavailable</title>", True),
    ("a proxy's sentence", 200, b"text/plain", b"Service Unavailable", True),
    ("a status rewritten", 200, b"application/json", b'{"code":503,"message":"Database is not ready!"}', True),
    # The workflow's, or the message's own.
    ("n8n 2.41: the workflow failed", 500, b"application/json", b'{"message":"Error in workflow"}', False),
    ("n8n 2.41: queue mode", 500, b"application/json", b'{"message":"Workflow execution failed"}', False),
    ("n8n 2.41: no item", 500, b"application/json", b'{"code":0,"message":"No item to return was found"}', False),
    (
        "n8n 2.41: its timeout",
        500,
        b"application/json",
        b'{"code":0,"message":"The execution was cancelled because it timed out"}',
        False,
    ),
    ("the workflow's own 500", 500, b"application/json", b'{"error":"boom"}', False),
    ("n8n 2.41: private chat", 404, b"", b"", False),
    ("the workflow's own 404", 404, b"application/json", b'{"message":"no such customer"}', False),
    ("the workflow's own 404", 404, b"text/plain", b"Cliente desconhecido", False),
    (
        "n8n 2.41: bad JSON",
        422,
        b"application/json",
        b'{"code":422,"message":"Failed to parse request body"}',
        False,
    ),
    ("n8n 2.41: wrong key", 403, b"", b"Authorization data is wrong!", False),
    ("a redirect", 302, b"text/html", b"<html><title>302 Found</title>", False),
    ("a reply", 200, b"application/json", b'{"output":"O sistema est\xc3\xa1 em maintenance mode."}', False),
    ("a reply in text", 200, b"text/plain", b"n8n is starting at 20 dollars a month, said the shop.", False),
    ("another page", 200, b"text/html", b"<html><title>Welcome to nginx!</title>", False),
    ("empty", 200, b"", b"", False),
]


@pytest.mark.parametrize(("source", "status", "content_type", "body", "down"), DOWN)
def test_n8n_being_down_is_told_from_a_workflow_that_failed(
    source: str, status: int, content_type: bytes, body: bytes, down: bool
) -> None:
    """Whatever stands before n8n, and whatever it says of itself."""
    assert is_n8n_down(status, {b"content-type": content_type}, body) is down, source
    if down and status == 200:
        with pytest.raises(N8nStarting) as caught:
            read(body)
        assert isinstance(caught.value, WorkflowUnreachable)
        assert caught.value.fault is FaultClass.DEPENDENCY


def test_a_proxy_that_stopped_waiting_may_have_left_the_workflow_running() -> None:
    """Such a status is to be told apart by who asks again."""
    assert [may_have_run(status) for status in (504, 524, 502, 503, 429)] == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("status", "headers", "body", "told"),
    [
        (302, {}, b"", "redirects"),
        (401, {b"www-authenticate": b'Basic realm="Webhook"'}, b"", "Basic Auth"),
        (401, {}, b"", "n8n.api_key"),
        (403, {}, b"Authorization data is wrong!", "n8n.api_key"),
        (403, {}, b'{"message":"Authorization data is wrong!"}', "Ignore Bots"),
        (404, {}, b'{"message":"This webhook is not registered for POST requests."}', "method"),
        (404, {}, b'{"message":"The requested webhook x is not registered."}', "active"),
        (404, {}, b"", "path"),
        (500, {}, b'{"code":0,"message":"No item to return was found"}', "Always Output Data"),
        (500, {}, b'{"message":"Unused Respond to Webhook node found in the workflow"}', "does not wait"),
        (500, {}, b'{"message":"The execution was cancelled because it timed out"}', "timeout"),
        (500, {}, b'{"message":"Error in workflow"}', "executions"),
        (502, {}, b"<html>", "is it running"),
        (413, {}, b"", "larger"),
        (400, {}, b'{"message":"no"}', "itself"),
    ],
)
def test_a_refusal_has_the_advice_of_its_shape(
    status: int, headers: dict[bytes, bytes], body: bytes, told: str
) -> None:
    """The advice names the setting that is wrong, not one that is right."""
    assert told in describe_rejection(status, headers, body)


FIELDS = [
    "message",
    "output",
    "text",
    "content",
    "data",
    "json",
    "messages",
    "attachments",
    "choices",
    "type",
    "role",
    "handoff",
    "accepted",
    "within",
    "silent",
    "delay",
    "url",
    "id",
    "parts",
    "code",
    "metadata",
    "candidates",
]
WORDS = ["text", "thinking", "user", "begin", "item", "end", "error", "<think>a</think>b", "<think>", "tool_use"]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False)
    | st.integers()
    | st.text(st.characters(exclude_categories=[]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(FIELDS), inner | st.sampled_from(WORDS), max_size=4)
    ),
    max_leaves=20,
)


def check_readable(body: bytes, headers: dict[bytes, bytes]) -> None:
    """A body gives an answer that can be shown, or a typed failure; nothing else."""
    try:
        answer = read(body, headers, max_text=10_000, max_body=100_000)
    except AnswerFault:
        return
    assert answer.outcome is not Outcome.REPLY or answer.parts
    for part in answer.parts:
        assert part.text or part.attachments or part.choices
        part.text.encode()
        assert "\0" not in part.text
        assert strip_thinking(part.text) == part.text or not part.text.lstrip().startswith("<think>")
        assert not part.text or is_visible(part.text)


@settings(deadline=None, max_examples=300)
@given(JSON)
def test_any_json_is_read_or_refused(value: Any) -> None:
    """Whatever JSON comes, nothing but a typed failure is raised."""
    check_readable(json.dumps(value).encode(), {})


@settings(deadline=None, max_examples=300)
@given(
    st.binary(max_size=60) | st.text(max_size=40).map(str.encode),
    st.sampled_from([b"", b"gzip", b"deflate", b"br", b"gzip, deflate", b"\xff"]),
    st.sampled_from(
        [b"", b"application/json; charset=utf-16", b"text/html; charset=latin1", b"x; charset=punycode"]
    ),
)
def test_any_bytes_are_read_or_refused(body: bytes, encoding: bytes, content_type: bytes) -> None:
    """Whatever bytes come, under whatever headers, nothing but a typed failure is raised."""
    headers = {b"content-encoding": encoding, b"content-type": content_type}
    check_readable(body, headers)
    for status in (200, 404, 500, 503):
        assert is_n8n_down(status, headers, body) in (True, False)
        describe_rejection(status, headers, body)


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "nested lists": lambda size: b"[" * size + b"]" * size,
    "nested objects": lambda size: b'{"output":' * size + b"1" + b"}" * size,
    "thinking that never ends": lambda size: in_json({"output": "<think>" * size}),
    "thinking again and again": lambda size: in_json({"output": "<think></think>" * size + "x"}),
    "closing tags": lambda size: in_json({"output": "</think>\n" * size + "x"}),
    "many items": lambda size: in_json([{"output": "x"}] * size),
    "many blank items": lambda size: in_json([{"output": " ", "foo": 1}] * size),
    "comments": lambda size: b"<!-- x -->" * size,
    "tags": lambda size: b"<a <a " * size,
    "blank": lambda size: in_json({"output": " \u200b" * size}),
    "lone surrogates": lambda size: b'{"output":"' + b"\\ud83d" * size + b'"}',
    "a stream of halves": lambda size: lines(*said("a", *["\ud83d"] * size)),
    "a stream of openings": lambda size: lines(*said("a", *["<think>"] * size)),
    "a stream on one line": lambda size: b'{"type":"keepalive"}' * size,
    "a gzip of many members": lambda size: compress(b"") * size + compress(b'{"output":"x"}'),
    "attachments that are none": lambda size: in_json({"attachments": [1] * size, "output": "x"}),
    "JSON in strings": lambda size: in_json(
        {"output": json.dumps({"output": json.dumps({"output": "[" * size})})}
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_the_work_grows_with_the_size(name: str) -> None:
    """60,000 repetitions take seconds, not minutes: nothing is read again for each of its parts."""
    body = HOSTILE[name](60_000)
    begun = time.process_time()
    with suppress(AnswerFault):
        read(body, max_text=1 << 22)
    assert time.process_time() - begun < 5
