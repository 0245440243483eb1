"""Turn an answer of n8n into the reply that is delivered, or say why it cannot be delivered. Pure."""

import msgspec

from msgctl.domain.messages import Reply
from msgctl.processing.answer_faults import Defect, UnfitWorkflow, UnusableAnswer
from msgctl.processing.answers import N8nAnswer, Outcome

NOT_SET_UP = {
    Defect.LATER: (
        "The workflow accepted the message and wants to answer later, which is not set up for this agent: let it "
        "answer with the reply itself, through Respond to Webhook or its last node."
    ),
    Defect.HANDOFF: (
        "The workflow hands the conversation to a human, which is not set up for this agent: let it answer with a "
        "text, without handoff."
    ),
}
FILES_ONLY = (
    "n8n's answer holds only files or choices, which are not delivered for this agent: add a text under output."
)


class ReplyToSend(msgspec.Struct, frozen=True):
    """What an answer comes to."""

    reply: Reply | None
    """None: the message is finished without a reply."""
    warnings: tuple[str, ...] = ()
    """What was wrong with an answer that was used all the same, for the operator. Nothing of it is quoted."""


def to_reply(answer: N8nAnswer) -> ReplyToSend:
    """Return the reply of an answer. Several parts become one text with blank lines between them.

    Raises:
        UnfitWorkflow: the workflow answers later, or hands the conversation to a human.
        UnusableAnswer: there is no text.
    """
    for defect, applies in (
        (Defect.HANDOFF, answer.handoff is not None),
        (Defect.LATER, answer.outcome is Outcome.LATER),
    ):
        if applies:
            raise UnfitWorkflow(defect, NOT_SET_UP[defect])
    if answer.outcome is Outcome.SILENT:
        return ReplyToSend(None, answer.warnings)
    if not answer.text:
        raise UnusableAnswer(Defect.FILES_ONLY, FILES_ONLY)
    usage = answer.usage
    reply = Reply(
        message=answer.text,
        tokens_used=usage.tokens_used,
        model=usage.model,
        finish_reason=usage.finish_reason,
    )
    return ReplyToSend(reply, (*answer.warnings, *_describe_undelivered(answer)))


def _describe_undelivered(answer: N8nAnswer) -> list[str]:
    counts = {
        "attachments": sum(len(part.attachments) for part in answer.parts),
        "choices": sum(len(part.choices) for part in answer.parts),
    }
    return [f"{name} were not delivered, only the text: {count}." for name, count in counts.items() if count]
