"""What a failure of a delivery means, in plain words, from the code that its record holds."""

from msgctl.channels.callback import errors as callback_errors
from msgctl.channels.error_codes import Meaning
from msgctl.channels.telegram import errors as telegram_errors
from msgctl.channels.whatsapp import cloud_errors, twilio_errors

TABLES = {
    "telegram": telegram_errors.CODES,
    "whatsapp": cloud_errors.CODES,
    "twilio": twilio_errors.CODES,
    "callback": callback_errors.CODES,
}
OWN = {
    "bad_address": "channelMetadata names no one it may be sent to; it will not be retried.",
    "not_configured": "The channel is not set up: see its section of the configuration.",
    "blank_reply": "The agent's reply was blank; there is nothing to send.",
    "window_closed": "Outside the 24 h window; use a template; it will not be retried.",
    "callback_gone": "The URL answered 410 before and is disabled for a while.",
    "provider_unreachable": "No connection to the provider: look at the network and its base_url; it is retried.",
    "delivery_unknown": "The provider gave no answer; it may have arrived.",
    "sender_lost": "The subscriber ended while it sent this; it may have arrived.",
    "telegram_no_id": "Telegram answered without the id of a message; it may have arrived.",
    "whatsapp_no_id": "Meta answered without the id of a message; it may have arrived.",
    "twilio_no_id": "Twilio answered without the id of a message; it may have arrived.",
    "internal_error": "A fault of msgctl's own: see the log; it may have arrived.",
    "dropped": "A person dropped it.",
}


def advise(code: str) -> str:
    """One line for people, e.g. `131047: Outside the 24 h window: … It will not be retried.`, or nothing."""
    if code in OWN:
        return OWN[code]
    who, _, number = code.partition("_")
    if not number.isdigit():
        return ""
    found = TABLES.get(who, {}).get(int(number))
    if found is not None:
        return f"{number}: {found.advice} {_sentence(found.meaning)}"
    if int(number) >= 600:
        return f"{number}: See the provider's documentation; the HTTP status decided whether it is tried again."
    return f"{number}: {_sentence(Meaning.RETRY if int(number) >= 500 else Meaning.NEVER)}"


def _sentence(meaning: Meaning) -> str:
    return f"{meaning[0].upper()}{meaning[1:]}."
