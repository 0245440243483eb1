"""What the error numbers of a provider mean for a delivery; the tables are one file a provider."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from msgctl.domain.errors import DeliveryFailed, DeliveryUnknown, FaultClass, ProviderRejected

if TYPE_CHECKING:
    from msgctl.http.client import Answer  # aiohttp takes 0.3 s, and who only reads the tables needs none


class Meaning(StrEnum):
    """What to do after an error."""

    RETRY = "it is tried again"
    WAIT = "its rate is closed for every process, and it is tried again"
    NEVER = "it will not be retried"
    STOP = "the channel is stopped until someone mends it and resumes it"
    UNKNOWN = "it may have arrived"


@dataclass(frozen=True)
class Code:
    """One error number.

    Args:
        meaning: what becomes of the delivery.
        advice: one sentence for people: what it is, and what to do.
        closes: of WAIT, which of the handler's rates.
        base: of WAIT, seconds of the first pause where the provider asks for none; each further one is 4 times it.
    """

    meaning: Meaning
    advice: str
    closes: str = ""
    base: float = 1.0


def failure(
    who: str, answer: "Answer", number: int, codes: Mapping[int, Code], *, wait: float | None = None
) -> DeliveryFailed:
    """The error that an answer means by the table of its provider.

    Args:
        who: the provider, as it stands in error codes.
        answer: no success.
        number: the provider's own error number.
        codes: its table; a number that is not in it means what the HTTP status means.
        wait: seconds the provider asks for in its own way; `Retry-After` where it does not.
    """
    code = codes.get(number)
    if code is None:
        return answer.rejection(who, number=number)
    if code.meaning is Meaning.UNKNOWN:
        return DeliveryUnknown(f"{who} failed with error {number}: {code.advice}", code=f"{who}_{number}")
    final = code.meaning in {Meaning.NEVER, Meaning.STOP}
    asked = answer.retry_after if wait is None else wait
    return ProviderRejected(
        f"{who} does not take it: HTTP {answer.status}, error {number}. {code.advice}",
        fault=FaultClass.FINAL if final else FaultClass.TRANSIENT,
        code=f"{who}_{number}",
        retry_after=asked,
        exceeded_limit=code.closes,
        stops_channel=code.meaning is Meaning.STOP,
        initial_pause_s=code.base,
    )
