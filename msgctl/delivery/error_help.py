"""Explanations of the error codes in delivery records."""

from collections.abc import Iterator, Mapping

from msgctl.channels.base import ChannelSpec
from msgctl.channels.error_codes import Code, Meaning, meaning_of_status
from msgctl.channels.registry import BUILT_IN, find_channel
from msgctl.domain.extensions import CHANNELS

MSGCTL_ADVICE = {
    "bad_address": "channelMetadata holds no valid address; it will not be retried.",
    "not_configured": "The channel is not set up: fill in its section of the configuration.",
    "blank_reply": "The agent's reply was blank; there is nothing to send.",
    "reply_too_long": "The reply needs more messages than [reply] max_parts; nothing of it was sent.",
    "provider_unreachable": "No connection to the provider: check the network and its base_url; it is retried.",
    "request_invalid": "A setting of the channel holds a line break or the like; the channel is stopped.",
    "delivery_unknown": "The provider gave no answer; it may have arrived.",
    "sender_lost": "The subscriber died while it sent this; it may have arrived.",
    "internal_error": "A bug in msgctl: see the log; if it is UNKNOWN, it may have arrived.",
    "dropped": "An operator dropped it.",
}


def own_advice(code: str) -> str:
    """Return the advice for an error code that no provider gave, or an empty text."""
    if code in MSGCTL_ADVICE or not code:
        return MSGCTL_ADVICE.get(code, "")
    return next((spec.error_advice[code] for spec in _channels() if code in spec.error_advice), "")


def advise(code: str) -> str:
    """Return one line for people, e.g. `131047: Outside the 24 h window: … It will not be retried.`, or `""`."""
    if code in MSGCTL_ADVICE or not code:
        return MSGCTL_ADVICE.get(code, "")
    provider, _, number = code.rpartition("_")
    for spec in _channels():
        if code in spec.error_advice:
            return spec.error_advice[code]
        if provider in spec.error_codes and number.isdigit():
            return _explain(int(number), spec.error_codes[provider])
    return _explain(int(number), {}) if number.isdigit() and "_" not in provider else ""


def find_code(code: str) -> Code | None:
    """Return the entry of a provider's table for an error code, e.g. `whatsapp_131042`; None if none lists it."""
    provider, _, number = code.rpartition("_")
    if not number.isdigit():
        return None
    tables = (spec.error_codes[provider] for spec in _channels() if provider in spec.error_codes)
    return next((table[int(number)] for table in tables if int(number) in table), None)


def _channels() -> Iterator[ChannelSpec]:
    """Yield the built-in channels, then load and yield those of extensions."""
    yield from BUILT_IN
    yield from map(find_channel, CHANNELS.names())


def _explain(number: int, codes: Mapping[int, Code]) -> str:
    if number in codes:
        return f"{number}: {codes[number].advice} {_sentence(codes[number].meaning)}"
    if number >= 600:
        return f"{number}: See the provider's documentation; the HTTP status decided whether it is tried again."
    return f"{number}: {_sentence(meaning_of_status(number, is_turned_away=True))}"


def _sentence(meaning: Meaning) -> str:
    return f"{meaning[0].upper()}{meaning[1:]}."
