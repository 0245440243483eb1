"""What a workflow can answer: a reply of one or several parts, a later one, or silence. Pure data."""

from enum import StrEnum

import msgspec


class Outcome(StrEnum):
    """What an answer means for the message."""

    REPLY = "reply"
    """There is something to send."""
    LATER = "later"
    """The reply comes by `replyUrl`; parts, if any, may be sent meanwhile."""
    SILENT = "silent"
    """The message is finished without a reply."""


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A file that goes along: by its address, by the id of a stored one, or as the bytes that came."""

    url: str = ""
    file_id: str = ""
    data: bytes = b""
    kind: str = ""
    """`image`, `audio`, …; empty where the workflow does not say."""
    mime_type: str = ""
    name: str = ""
    caption: str = ""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Something the customer may pick."""

    id: str
    title: str
    description: str = ""
    url: str = ""


class ReplyPart(msgspec.Struct, frozen=True):
    """One message of a reply."""

    text: str = ""
    attachments: tuple[Attachment, ...] = ()
    choices: tuple[Choice, ...] = ()
    delay_s: float = 0.0
    """Seconds to wait before it."""


class Handoff(msgspec.Struct, frozen=True):
    """The workflow gives the conversation to a human."""

    reason: str = ""


class Usage(msgspec.Struct, frozen=True):
    """What the workflow tells of the model; None where it does not."""

    tokens_used: int | None = None
    model: str | None = None
    finish_reason: str | None = None


class N8nAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer, read whole."""

    outcome: Outcome
    parts: tuple[ReplyPart, ...] = ()
    handoff: Handoff | None = None
    within_s: float | None = None
    """For `LATER`: how long the workflow says it may take; None where it does not say."""
    usage: Usage = Usage()
    execution_id: str = ""
    streamed: bool = False
    warnings: tuple[str, ...] = ()
    """What went wrong beside the reply, for the operator; nothing of the answer is quoted."""

    @property
    def text(self) -> str:
        """The texts of all parts, with a blank line between."""
        return "\n\n".join(part.text for part in self.parts if part.text)


class Question(msgspec.Struct, frozen=True):
    """What the workflow was asked, to know it again where the answer repeats it."""

    text: str = ""
    """The payload's `message`."""
    texts: tuple[str, ...] = ()
    """The text of each message of the turn."""
    urls: frozenset[str] = frozenset()
    """The addresses of the customer's own attachments."""


UNASKED = Question()
"""Nothing is known of what was asked."""
