"""The meaning of a provider's error codes for a delivery; each channel has its table in `errors`."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from msgctl.domain.errors import DeliveryFailed, DeliveryUnknown, FaultClass, ProviderRejected

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
        exceeded_limit: of WAIT, the kind of the sender's bucket that is closed.
        initial_pause_s: of WAIT, seconds of the first pause if the provider asks for none; each further one is
            four times as long.
    """

    meaning: Meaning
    advice: str
    exceeded_limit: str = ""
    initial_pause_s: float = 1.0


def failure(
    who: str, answer: "Answer", number: int, codes: Mapping[int, Code], *, retry_after: float | None = None
) -> DeliveryFailed:
    """Return the error that an unsuccessful answer means, by the table of its provider.

    Args:
        who: the provider's name in error codes.
        answer: the unsuccessful answer.
        number: the provider's own error number.
        codes: the provider's table; for a number that it does not list, the HTTP status decides.
        retry_after: seconds that the provider asks for in its body; None: the header `Retry-After` counts.
    """
    code = codes.get(number)
    if code is None:
        return answer.rejection(who, number=number)
    if code.meaning is Meaning.UNKNOWN:
        return DeliveryUnknown(f"{who} failed with error {number}: {code.advice}", code=f"{who}_{number}")
    is_final = code.meaning in {Meaning.NEVER, Meaning.STOP}
    return ProviderRejected(
        f"{who} rejected it: HTTP {answer.status}, error {number}. {code.advice}",
        fault=FaultClass.FINAL if is_final else FaultClass.TRANSIENT,
        code=f"{who}_{number}",
        retry_after=answer.retry_after if retry_after is None else retry_after,
        exceeded_limit=code.exceeded_limit,
        stops_channel=code.meaning is Meaning.STOP,
        initial_pause_s=code.initial_pause_s,
    )
