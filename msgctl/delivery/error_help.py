"""What a failure of a delivery means, in plain words, from the code that its record holds."""

from collections.abc import Iterator, Mapping

from msgctl.channels.base import ChannelSpec
from msgctl.channels.error_codes import Code, Meaning
from msgctl.channels.registry import BUILT_IN, find_channel
from msgctl.domain.extensions import CHANNELS

OWN = {
    "bad_address": "channelMetadata names no one it may be sent to; it will not be retried.",
    "not_configured": "The channel is not set up: see its section of the configuration.",
    "blank_reply": "The agent's reply was blank; there is nothing to send.",
    "provider_unreachable": "No connection to the provider: look at the network and its base_url; it is retried.",
    "delivery_unknown": "The provider gave no answer; it may have arrived.",
    "sender_lost": "The subscriber ended while it sent this; it may have arrived.",
    "internal_error": "A fault of msgctl's own: see the log; it may have arrived.",
    "dropped": "A person dropped it.",
}


def own_advice(code: str) -> str:
    """Return the advice for an error code that no provider gave, or nothing."""
    if code in OWN or not code:
        return OWN.get(code, "")
    return next((spec.error_advice[code] for spec in _channels() if code in spec.error_advice), "")


def advise(code: str) -> str:
    """Return one line for people, e.g. `131047: Outside the 24 h window: … It will not be retried.`, or none."""
    if code in OWN or not code:
        return OWN.get(code, "")
    who, _, number = code.rpartition("_")
    for spec in _channels():
        if code in spec.error_advice:
            return spec.error_advice[code]
        if who in spec.error_codes and number.isdigit():
            return _explain(int(number), spec.error_codes[who])
    return _explain(int(number), {}) if number.isdigit() and "_" not in who else ""


def _channels() -> Iterator[ChannelSpec]:
    """Yield the built-in channels, and only for a caller that has not found what it wants the others."""
    yield from BUILT_IN
    yield from map(find_channel, CHANNELS.names())


def _explain(number: int, codes: Mapping[int, Code]) -> str:
    if number in codes:
        return f"{number}: {codes[number].advice} {_sentence(codes[number].meaning)}"
    if number >= 600:
        return f"{number}: See the provider's documentation; the HTTP status decided whether it is tried again."
    return f"{number}: {_sentence(Meaning.RETRY if number >= 500 else Meaning.NEVER)}"


def _sentence(meaning: Meaning) -> str:
    return f"{meaning[0].upper()}{meaning[1:]}."
