"""Settings that identify an operator's accounts: numbers, ids, tokens, and webhook secrets.

They are copied from consoles and files, so they arrive with spaces, quotes, line breaks, and the punctuation of a
console. `tidy_*` returns the form that providers compare, and leaves what it does not understand as it is.
`find_identity_problems` names what no provider would accept.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator, SecretStr

if TYPE_CHECKING:
    from msgctl.config.settings import Settings

INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060\u200e\u200f\u202a\u202c"
QUOTES = {'"': '"', "'": "'", "`": "`", "\u201c": "\u201d", "\u2018": "\u2019"}
WRITTEN_NUMBER = re.compile(r"(?P<plus>\+|00)?(?P<digits>[0-9(][0-9 ()./\u2010-\u2015-]*)")
"""A phone number with the punctuation of a console."""
TWILIO_PATH = "/webhooks/twilio"

SENDER = re.compile(r"\+[1-9][0-9]{6,14}")
DIGITS = re.compile(r"[0-9]{1,32}")
ACCOUNT_SID = re.compile(r"AC[0-9A-Za-z]{1,64}")
BOT_TOKEN = re.compile(r"[0-9]{1,20}:[A-Za-z0-9_-]{1,256}")
WEBHOOK_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")
HEADER_TOKEN = re.compile(r"[!-~]+")
PRINTABLE = re.compile(r"[ -~]+")

RULES: tuple[tuple[str, str, re.Pattern[str], str], ...] = (
    ("twilio", "sender", SENDER, "must be the sender's number in E.164, with its plus sign and country code"),
    ("twilio", "account_sid", ACCOUNT_SID, "must be the SID of the account, AC and letters and digits"),
    ("twilio", "auth_token", HEADER_TOKEN, "must be printable ASCII without spaces"),
    (
        "whatsapp",
        "phone_number_id",
        DIGITS,
        "must be the id of the number, digits only, and not the number itself",
    ),
    ("whatsapp", "token", HEADER_TOKEN, "must be printable ASCII without spaces"),
    ("whatsapp", "app_secret", PRINTABLE, "must be printable ASCII"),
    ("whatsapp", "verify_token", PRINTABLE, "must be printable ASCII"),
    ("telegram", "webhook_secret", WEBHOOK_SECRET, "must be 1 to 256 of A-Z a-z 0-9 _ -"),
)
"""The form of each setting that is set, and how to say it."""


def tidy(value: Any) -> Any:
    """Return a text without the spaces, quotes, and invisible characters around it, and anything else as it is."""
    if isinstance(value, SecretStr):
        return SecretStr(tidy(value.get_secret_value()))
    if not isinstance(value, str):
        return value
    text = value.strip().strip(INVISIBLE).strip()
    while len(text) > 1 and QUOTES.get(text[0]) == text[-1]:
        text = text[1:-1].strip()
    return text


def tidy_sender(value: Any) -> Any:
    """Return a written phone number in E.164: `whatsapp:+1 (415) 523-8886` is `+14155238886`."""
    if not isinstance(value, str):
        return value
    text = re.sub(r"\A(?:whatsapp:\s*)+", "", unicodedata.normalize("NFKC", tidy(value)), flags=re.IGNORECASE)
    match = WRITTEN_NUMBER.fullmatch(text)
    is_national = match is not None and not match["plus"] and match["digits"].startswith(("(", "0"))
    if match is None or is_national:
        return text
    return "+" + "".join(sign for sign in match["digits"] if sign.isdecimal())


def tidy_digits(value: Any) -> Any:
    """Return an id of digits without the spaces in it."""
    if not isinstance(value, str):
        return value
    text = unicodedata.normalize("NFKC", tidy(value))
    joined = "".join(text.split())
    return joined if DIGITS.fullmatch(joined) else text


def tidy_tokens(value: Any) -> Any:
    """Return bot tokens with one space between them, without `bot` as in a URL of the Bot API."""
    if isinstance(value, SecretStr):
        return SecretStr(tidy_tokens(value.get_secret_value()))
    if not isinstance(value, str):
        return value
    tokens = (tidy(token) for token in re.split(r"[\s,;]+", tidy(value)))
    return " ".join(re.sub(r"\Abot(?=[0-9]+:)", "", token) for token in tokens if token)


def tidy_bearer(value: Any) -> Any:
    """Return an access token without the word `Bearer` in front of it."""
    if isinstance(value, SecretStr):
        return SecretStr(tidy_bearer(value.get_secret_value()))
    return re.sub(r"\Abearer\s+", "", tidy(value), flags=re.IGNORECASE) if isinstance(value, str) else value


def tidy_route(value: Any) -> Any:
    """Return a route `provider:identity=agent` with its parts tidied."""
    if not isinstance(value, str):
        return value
    target, equals, agent = tidy(value).rpartition("=")
    provider, colon, identity = target.partition(":")
    name = provider.strip().lower()
    tidy_identity = tidy_sender if name == "twilio" else tidy_digits
    return f"{name}{colon}{tidy_identity(identity)}{equals}{tidy(agent)}"


def tidy_public_url(value: Any) -> Any:
    """Return the URL of the gateway without a slash at its end, and without the path of Twilio's webhook."""
    return tidy(value).rstrip("/").removesuffix(TWILIO_PATH) if isinstance(value, str) else value


Sender = Annotated[str, BeforeValidator(tidy_sender)]
DigitId = Annotated[str, BeforeValidator(tidy_digits)]
TidyText = Annotated[str, BeforeValidator(tidy)]
TidySecret = Annotated[SecretStr, BeforeValidator(tidy)]
BearerSecret = Annotated[SecretStr, BeforeValidator(tidy_bearer)]
BotTokens = Annotated[SecretStr, BeforeValidator(tidy_tokens)]


def find_identity_problems(settings: "Settings") -> Iterator[str]:
    """Yield one sentence for each setting that no provider would accept. None shows a value."""
    for section, name, pattern, problem in RULES:
        value = getattr(getattr(settings, section), name)
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if text and not pattern.fullmatch(text):
            yield f"{section}.{name} {problem}"
    yield from _find_bot_problems(settings)
    yield from _find_url_problems(settings)
    targets = [route.partition("=")[0] for route in settings.inbound.routes]
    if len(targets) != len(set(targets)):
        yield "inbound.routes names a bot or number twice"


def _find_bot_problems(settings: "Settings") -> Iterator[str]:
    tokens = settings.telegram.token.get_secret_value().split()
    if not all(BOT_TOKEN.fullmatch(token) for token in tokens):
        yield "telegram.token must be tokens of @BotFather, e.g. 123456:ABC-DEF, with spaces between them"
    elif len(settings.telegram.bots) != len(tokens):
        yield "telegram.token holds two tokens of one bot"


def _find_url_problems(settings: "Settings") -> Iterator[str]:
    try:
        has_host = not settings.twilio.public_url or bool(urlsplit(settings.twilio.public_url).hostname)
        _ = urlsplit(settings.twilio.public_url).port
    except ValueError:
        has_host = False
    if not has_host:
        yield "twilio.public_url must be a URL with a host and a valid port, e.g. https://chat.example.com"
