"""Find the reply in a JSON answer: the first field that holds text, in any nesting that workflows produce. Pure.

Each value is looked at once, so the work grows with the size of the answer and not with its nesting.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from msgspec.structs import replace

from msgctl.domain.visible_text import is_visible, repair_text
from msgctl.processing import answer_extras as extras
from msgctl.processing.answer_faults import (
    Defect,
    UnfitWorkflow,
    UnusableAnswer,
    describe_blank,
    describe_kind,
    no_text,
    quote_name,
    unusable,
)
from msgctl.processing.answer_json import NotJson, parse_json
from msgctl.processing.answer_shapes import (
    are_the_calls,
    block_text,
    holds_items,
    holds_model_messages,
    is_asking,
    is_block,
    is_hidden,
    is_log,
    is_nested,
)
from msgctl.processing.answers import Handoff, Question, ReplyPart, Usage
from msgctl.processing.markup import is_page
from msgctl.processing.n8n_sentences import is_error_envelope, recognize_note, recognize_sentence
from msgctl.processing.thinking import strip_thinking

TEXT_KEYS = ("message", "output", "text", "response", "answer", "content")
"""Where a reply is looked for, in this order. `content` is where models and their nodes put it."""
WRAPPERS = ("data", "json")
MODEL_KEYS = ("choices", "candidates")
"""Where a model's own raw answer holds its messages."""
_CALL_KEYS = ("agent", "history", "channelMetadata")
DEEPEST = 24
MOST_WARNINGS = 10
_DEEPEST_STRING = 3


class AnswerReading:
    """What has been found in an answer so far, and why the rest could not be used.

    Args:
        question: what was asked, to know it again.
    """

    def __init__(self, question: Question) -> None:
        self._question = question
        self._asked = {one for text in (question.text, *question.texts) if (one := _fold(text))}
        self.usage = Usage()
        self.execution_id = ""
        self.handoff: Handoff | None = None
        self.is_silent = self.is_accepted = self.repeats_call = False
        self.within_s: float | None = None
        self.warnings: list[str] = []
        self.reasons: list[Defect] = []
        """Why texts were no reply, in the order they were met."""
        self.held: list[str] = []
        """Fields that held no text, each with what it held."""

    @property
    def says_something(self) -> bool:
        """Whether the answer tells what to do, text or not."""
        return self.is_silent or self.is_accepted or self.handoff is not None

    def explain(self, value: Any) -> UnusableAnswer | UnfitWorkflow:
        """The failure of an answer in which no reply was found.

        Args:
            value: the whole answer, for the case that no field was looked into.
        """
        for reason in self.reasons:
            if reason is not Defect.NO_TEXT:
                return unusable(reason)
        if isinstance(value, dict | list | None) and (self.warnings or self.held):
            return no_text(self.warnings or self.held)
        while isinstance(value, list) and len(value) == 1:
            value = value[0]
        return no_text([], describe_blank(value) if isinstance(value, str) else describe_kind(value))

    def read(self, value: Any) -> list[ReplyPart]:
        """The parts of the reply; of several items, one that repeats the question counts where no other does."""
        parts = list(self._read(value, "", 0, 0))
        fresh = [part for part in parts if not self.is_echo(part)]
        if parts and not fresh and self.repeats_call:
            self.reasons.append(Defect.ECHO_ONLY)
            return []
        return fresh if fresh and isinstance(value, list) else parts

    def is_echo(self, part: ReplyPart) -> bool:
        """Whether a part is nothing but what the customer asked."""
        return (
            bool(self._asked and part.text)
            and not part.attachments
            and not part.choices
            and _fold(part.text) in self._asked
        )

    def _read(self, value: Any, name: str, depth: int, strings: int) -> Iterator[ReplyPart]:
        if depth > DEEPEST:
            self.reasons.append(Defect.TOO_DEEP)
        elif isinstance(value, str):
            yield from self._read_string(value, name, depth, strings)
        elif isinstance(value, list):
            yield from self._read_list(value, name, depth, strings)
        elif isinstance(value, dict):
            yield from self._read_item(value, name, depth, strings)
        else:
            self._hold(name, value)

    def _hold(self, name: str, value: Any) -> None:
        if name and value is not None:
            self.held.append(f"{quote_name(name)} holds {describe_kind(value)}")

    def _read_string(self, value: str, name: str, depth: int, strings: int) -> Iterator[ReplyPart]:
        parts = self._read_json_string(value, name, depth, strings)
        if parts is None:
            text = self.show_text(value, name)
            parts = [ReplyPart(text)] if text else []
        yield from parts

    def _read_json_string(self, value: str, name: str, depth: int, strings: int) -> list[ReplyPart] | None:
        """The parts of an answer that was written as JSON into a string; None where the string is a plain text."""
        stripped = strip_thinking(value).strip()
        if strings >= _DEEPEST_STRING or not stripped.startswith(("{", "[", '"') if depth == 0 else ("{", "[")):
            return None
        try:
            inner = parse_json(stripped)
        except NotJson:
            return None
        if not isinstance(inner, dict | str) and not holds_items(inner):
            return None
        trial = AnswerReading(self._question)
        parts = list(trial._read(inner, name, depth + 1, strings + 1))
        if not parts and not trial.says_something and not trial.reasons:
            return None
        self.take_over(trial)
        return parts

    def take_over(self, trial: "AnswerReading") -> None:
        """Add what another reading found beside its parts; what this one knows already wins."""
        self.is_silent |= trial.is_silent
        self.is_accepted |= trial.is_accepted
        self.repeats_call |= trial.repeats_call
        self.handoff = self.handoff or trial.handoff
        self.within_s = self.within_s if self.within_s is not None else trial.within_s
        self.execution_id = self.execution_id or trial.execution_id
        known, told = self.usage, trial.usage
        self.usage = Usage(
            known.tokens_used if known.tokens_used is not None else told.tokens_used,
            known.model or told.model,
            known.finish_reason or told.finish_reason,
        )
        self.warnings += trial.warnings
        self.reasons += trial.reasons
        self.held += trial.held

    def show_text(self, value: str, name: str = "") -> str:
        """What of a text a customer may see; empty, and the reason noted, where that is nothing."""
        repaired = repair_text(value)
        text = strip_thinking(repaired)
        if is_visible(text):
            reason = recognize_sentence(text) or (Defect.MARKUP_PAGE if is_page(text) else None)
        elif is_visible(repaired):
            reason = Defect.THINKING_ONLY
        else:
            reason = Defect.NO_TEXT
            self.held.append(f"{quote_name(name or 'text')} holds {describe_blank(value)}")
        if reason:
            self.reasons.append(reason)
        return "" if reason else text

    def _read_list(self, value: list[Any], name: str, depth: int, strings: int) -> Iterator[ReplyPart]:
        if not value:
            self._hold(name, value)
        elif name in ("content", "parts") or any(is_block(one) for one in value):
            yield from self._read_blocks(value, name, depth, strings)
        else:
            for one in value:
                yield from self._read(one, name, depth + 1, strings)

    def _read_blocks(self, value: list[Any], name: str, depth: int, strings: int) -> Iterator[ReplyPart]:
        """Content blocks: neighbours are one text, cut anywhere; what a tool or a thought divides, is not."""
        texts = []
        for is_text, run in groupby(value, key=lambda one: isinstance(one, str) or block_text(one) is not None):
            if is_text:
                texts.append("".join(one if isinstance(one, str) else block_text(one) or "" for one in run))
            else:
                for one in run:
                    for part in self._read(one, name, depth + 1, strings) if not is_hidden(one) else ():
                        yield from self._flush(texts, name, depth, strings)
                        texts = []
                        yield part
        yield from self._flush(texts, name, depth, strings)

    def _flush(self, texts: list[str], name: str, depth: int, strings: int) -> Iterator[ReplyPart]:
        if text := "\n\n".join(one for one in texts if one.strip()):
            yield from self._read_string(text, name, depth, strings)

    def _read_item(self, item: dict[str, Any], name: str, depth: int, strings: int) -> Iterator[ReplyPart]:
        if is_hidden(item):
            return
        self._read_switches(item)
        if extras.is_yes(item.get("silent")):
            self.is_silent = True
            return
        if is_error_envelope(item):
            self.reasons.append(recognize_sentence(item["message"]) or Defect.FAILED)
            return
        is_call = self._is_call(item)
        self.repeats_call |= is_call
        parts = self._read_texts(item, depth, strings, is_call=is_call)
        parts = self._add_extras(item, parts, is_call=is_call)
        if not parts:
            self._explain(item, name)
        yield from parts

    def _is_call(self, item: dict[str, Any]) -> bool:
        """Whether the item repeats the payload of the call, as `{...body, output}` does."""
        return "messageId" in item and "conversationId" in item and any(key in item for key in _CALL_KEYS)

    def _read_switches(self, item: dict[str, Any]) -> None:
        self.usage = extras.read_usage(item, self.usage)
        self.execution_id = self.execution_id or extras.read_execution(item)
        self.handoff = self.handoff or extras.read_handoff(item.get("handoff"))
        if extras.is_yes(item.get("accepted")):
            self.is_accepted = True
            self.within_s = extras.as_seconds(item.get("within")) if self.within_s is None else self.within_s

    def _read_texts(self, item: dict[str, Any], depth: int, strings: int, *, is_call: bool) -> list[ReplyPart]:
        """The parts of the first field that holds text and does not repeat the question."""
        echo: list[ReplyPart] = []
        for key, value in _candidates(item):
            if key == "messages":
                parts = [] if is_call and are_the_calls(value) else self._read_messages(value, depth, strings)
            else:
                parts = list(self._read(value, key, depth + 1, strings))
            if any(not self.is_echo(part) for part in parts):
                return parts
            echo = echo or parts
        return echo

    def _read_messages(self, value: list[Any], depth: int, strings: int) -> list[ReplyPart]:
        """`messages`: each a part; of a chat's log, what the agent said after the customer's last words."""
        if not value:
            self.is_silent = True
        asked = [index for index, one in enumerate(value) if is_asking(one)]
        parts: list[ReplyPart] = []
        for one in value[asked[-1] + 1 if asked else 0 :]:
            parts += self._read(one, "messages", depth + 1, strings)
        return parts

    def _add_extras(self, item: dict[str, Any], parts: list[ReplyPart], *, is_call: bool) -> list[ReplyPart]:
        attachments = extras.read_attachments(item.get("attachments"), self.warnings)
        del self.warnings[MOST_WARNINGS:]
        if any(self.is_echo(part) for part in parts) or len(attachments) + len(parts) > 1:
            attachments = [one for one in attachments if one.url not in self._question.urls]
        offered = None if holds_model_messages(item.get("choices")) else item.get("choices")
        choices = extras.read_choices(offered, self.warnings)
        delay = extras.as_seconds(item.get("delay"), extras.LONGEST_DELAY_S) or 0.0
        if is_call and (attachments or choices):
            parts = [part for part in parts if not self.is_echo(part)]
        if (attachments or choices) and not parts:
            parts = [ReplyPart()]
        if parts and delay and not parts[0].delay_s:
            parts[0] = replace(parts[0], delay_s=delay)
        if parts and (attachments or choices):
            parts[-1] = replace(
                parts[-1],
                attachments=parts[-1].attachments + tuple(attachments),
                choices=parts[-1].choices + tuple(choices),
            )
        return parts

    def _explain(self, item: dict[str, Any], name: str) -> None:
        """Note why an object held no reply: n8n's own note, or fields that are none."""
        if note := recognize_note(item):
            self.reasons.append(note)
        elif not self.held and not self.says_something:
            if not item:
                self._hold(name, item)
            self.held += [f"{quote_name(key)} holds {describe_kind(one)}" for key, one in list(item.items())[:5]]


def _candidates(item: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    messages = item.get("messages")
    parts_first = isinstance(messages, list) and bool(messages) and not is_log(messages)
    if parts_first:
        yield "messages", messages
    for key in (*TEXT_KEYS, *WRAPPERS):
        value = item.get(key)
        if value is None or (key in WRAPPERS and not is_nested(value)):
            continue
        yield key, value
    if isinstance(item.get("parts"), list):
        yield "parts", item["parts"]
    for key in MODEL_KEYS:
        if holds_model_messages(item.get(key)):
            yield key, item[key][0]
    if isinstance(messages, list) and not parts_first:
        yield "messages", messages


def _fold(text: str) -> str:
    return " ".join(text.split())
