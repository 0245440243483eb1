"""The meaning of a provider's error codes for a delivery; each channel has its table in `errors`."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from msgctl.domain.errors import DeliveryFailed, DeliveryUnknown, FaultClass, ProviderRejected
from msgctl.domain.retry import LONGEST_RETRY_AFTER_S, TRANSIENT_STATUSES

if TYPE_CHECKING:
    from msgctl.http.client import Answer  # importing aiohttp takes 0.3 s, and the tables do not need it


class Meaning(StrEnum):
    """What follows from an error."""

    RETRY = "it is tried again"
    WAIT = "its rate is closed for every process, and it is tried again"
    NEVER = "it will not be retried"
    STOP = "the channel is stopped until an operator fixes the cause and resumes it"
    UNKNOWN = "it may have arrived"


@dataclass(frozen=True)
class Code:
    """One error number.

    Args:
        meaning: what follows for the delivery.
        advice: one sentence for people: what happened, and what to do.
        exceeded_limit: of WAIT, the kind of the sender's bucket that is closed, the narrowest that fits.
        initial_pause_s: of WAIT, seconds of the first pause if the provider asks for none; each further one is
            four times as long.
        wider_limit: of WAIT, the kind of the bucket that is closed too once several of the narrow ones are.
    """

    meaning: Meaning
    advice: str
    exceeded_limit: str = ""
    initial_pause_s: float = 1.0
    wider_limit: str = ""


UNAUTHORIZED_STATUSES = frozenset({401, 403})
UNLISTED = {
    Meaning.RETRY: "The provider cannot take it now.",
    Meaning.WAIT: "Too many requests.",
    Meaning.NEVER: "The provider rejects it.",
    Meaning.STOP: "The provider denies access: check the credentials of the channel.",
    Meaning.UNKNOWN: "The answer does not tell whether it was sent.",
}


def meaning_of_status(status: int, *, is_turned_away: bool) -> Meaning:
    """Return what an HTTP status means that no table of error numbers explains.

    An access that is denied stops the channel, because then nothing is lost. A server error says nothing about the
    message, because a proxy may report it after the provider has taken the message. Only a 503 in the provider's
    own words, or with a time to come back (RFC 9110, section 15.6.4), says that it was not taken.

    Args:
        status: the status, not 2xx.
        is_turned_away: whether the answer is the provider's own, not a page of a proxy, or has a `Retry-After`.
    """
    if status in UNAUTHORIZED_STATUSES:
        return Meaning.STOP
    if status == 429:
        return Meaning.WAIT
    if status in TRANSIENT_STATUSES or (status == 503 and is_turned_away):
        return Meaning.RETRY
    return Meaning.UNKNOWN if status >= 500 else Meaning.NEVER


def failure(
    who: str,
    answer: "Answer",
    number: int | None,
    codes: Mapping[int, Code],
    *,
    retry_after: float | None = None,
    rate: str = "",
    deduplicates: bool = False,
    advice: str = "",
) -> DeliveryFailed:
    """Return the error that an unsuccessful answer means, by the table of its provider.

    Args:
        who: the provider's name in error codes.
        answer: the unsuccessful answer.
        number: the provider's own error number; None if the answer names none, e.g. because a proxy gave it.
        codes: the provider's table; for a number that it does not list, the HTTP status decides.
        retry_after: seconds that the provider asks for in its body; None: the header `Retry-After` counts.
        rate: the kind of the sender's bucket that an unlisted 429 closes.
        deduplicates: whether the receiver recognizes a second send, so that an unknown outcome is only sent again.
        advice: replaces the advice of the table.
    """
    code = _find(answer, number, codes, rate)
    seconds = answer.retry_after if retry_after is None else min(retry_after, LONGEST_RETRY_AFTER_S)
    name = f"{who}_{answer.status if number is None else number}"
    text = f"{who} answered HTTP {answer.status}, error {answer.status if number is None else number}."
    text = f"{text} {advice or code.advice}"
    meaning = Meaning.RETRY if deduplicates and code.meaning is Meaning.UNKNOWN else code.meaning
    if meaning is Meaning.UNKNOWN:
        return DeliveryUnknown(text, code=name, retry_after=seconds)
    return ProviderRejected(
        text,
        fault=FaultClass.FINAL if meaning in {Meaning.NEVER, Meaning.STOP} else FaultClass.TRANSIENT,
        code=name,
        retry_after=seconds,
        exceeded_limit=code.exceeded_limit,
        stops_channel=meaning is Meaning.STOP,
        initial_pause_s=code.initial_pause_s,
        wider_limit=code.wider_limit,
        is_doubtful=meaning is Meaning.RETRY and answer.status >= 500 and not deduplicates,
    )


def _find(answer: "Answer", number: int | None, codes: Mapping[int, Code], rate: str) -> Code:
    if number is not None and number in codes:
        return codes[number]
    is_turned_away = answer.is_json_object or answer.retry_after is not None
    meaning = meaning_of_status(answer.status, is_turned_away=is_turned_away)
    return Code(meaning, UNLISTED[meaning], rate if meaning is Meaning.WAIT else "")
