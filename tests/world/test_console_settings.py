"""Settings as consoles and files show them: tidied or refused, by `config check` exactly as by a daemon."""

from typing import Any

import pytest

from msgctl.config.settings import Settings
from msgctl.config.sources import load
from msgctl.domain.errors import ConfigurationError
from msgctl.operations.startup import check_startup

AGENT = "3f1f2d1e-9a52-4a7e-8d38-0a2d6f5b8c11"
GOOD = {"MSGCTL_AUTH_JWT_SECRET": "x" * 32}
FURTHER = {"auth.public_key": {"MSGCTL_AUTH_ALGORITHM": "RS256"}}
"""What must be set too, for a setting to count."""


def value_of(settings: Settings, key: str) -> Any:
    """The value of a setting, `section.name`."""
    section, _, name = key.partition(".")
    found = getattr(getattr(settings, section), name)
    return found.get_secret_value() if hasattr(found, "get_secret_value") else found


def variable(key: str) -> str:
    """The environment variable of a setting."""
    return f"MSGCTL_{key.replace('.', '_')}".upper()


@pytest.mark.parametrize(
    ("key", "written", "tidied"),
    [
        ("twilio.sender", "whatsapp:+14155238886", "+14155238886"),
        ("twilio.sender", "WhatsApp: +14155238886", "+14155238886"),
        ("twilio.sender", "+1 (415) 523-8886", "+14155238886"),
        ("twilio.sender", "+1\u00a0415\u2011523\u20118886\n", "+14155238886"),
        ("twilio.sender", "14155238886", "+14155238886"),
        ("twilio.sender", "0014155238886", "+14155238886"),
        ("twilio.sender", '"+14155238886"', "+14155238886"),
        ("twilio.sender", "\ufeff\u202a+14155238886\u202c", "+14155238886"),
        ("twilio.sender", "\uff0b14155238886", "+14155238886"),
        ("twilio.account_sid", " AC0123456789abcdef ", "AC0123456789abcdef"),
        ("twilio.auth_token", "'0123abc'\r\n", "0123abc"),
        ("twilio.public_url", "https://chat.example.com/", "https://chat.example.com"),
        ("twilio.public_url", " https://chat.example.com/webhooks/twilio ", "https://chat.example.com"),
        ("whatsapp.phone_number_id", " 1065 4035 ", "10654035"),
        ("whatsapp.phone_number_id", "\u201c1065\u201d", "1065"),
        ("whatsapp.token", "Bearer EAAG0123\n", "EAAG0123"),
        ("whatsapp.app_secret", " 0123abcd\n", "0123abcd"),
        ("whatsapp.verify_token", '"verify me"', "verify me"),
        ("whatsapp.agent", f" {AGENT}\n", AGENT),
        ("telegram.token", '"77:abc"\n', "77:abc"),
        ("telegram.token", "77:abc, bot88:d-e_f\n", "77:abc 88:d-e_f"),
        ("telegram.webhook_secret", "`a-secret_1`", "a-secret_1"),
        ("telegram.usernames", "@shop_bot", ["shop_bot"]),
        ("inbound.routes", f"twilio:whatsapp:+1 (415) 523-8886 = {AGENT}", [f"twilio:+14155238886={AGENT}"]),
        ("inbound.routes", f"'whatsapp: 1065 ={AGENT}'", [f"whatsapp:1065={AGENT}"]),
        ("inbound.routes", f"Telegram:77={AGENT}", [f"telegram:77={AGENT}"]),
    ],
)
def test_what_a_console_shows_is_tidied(key: str, written: str, tidied: object) -> None:
    """The value is what the provider compares, and no daemon refuses it."""
    settings = load(environ=GOOD | {variable(key): written}).settings
    assert value_of(settings, key) == tidied
    check_startup(settings)


REFUSED = [
    ("twilio.sender", "(415) 523-8886"),
    ("twilio.sender", "04155238886"),
    ("twilio.sender", "whatsapp:+1415"),
    ("twilio.sender", "MG0123456789abcdef"),
    ("twilio.sender", "whatsapp:+1415523888a"),
    ("twilio.account_sid", "SK0123456789abcdef"),
    ("twilio.account_sid", "AC 0123"),
    ("twilio.auth_token", "two words"),
    ("twilio.public_url", "https://chat.example.com:port"),
    ("whatsapp.phone_number_id", "+15550100200"),
    ("whatsapp.phone_number_id", "phone"),
    ("whatsapp.token", "EAAG\u00e9"),
    ("whatsapp.token", "EAAG\nEAAG"),
    ("whatsapp.app_secret", "n\u00e3o"),
    ("telegram.token", "hush"),
    ("telegram.token", "77:abc def"),
    ("telegram.token", "77:abc 77:def"),
    ("telegram.webhook_secret", "n\u00e3o pode!"),
    ("telegram.webhook_secret", "x" * 257),
    ("inbound.routes", f"whatsapp:+15550100200={AGENT}"),
    ("inbound.routes", f"telegram:77:abc={AGENT}"),
    ("inbound.routes", f"whatsapp:1={AGENT},whatsapp:1={AGENT}"),
    ("auth.jwt_secret", "short"),
    ("auth.jwks_url", "https://id.example.com/jwks"),
    ("auth.public_key", "no key"),
    ("n8n.base_url", "http://h:port"),
    ("postgres.url", "nonsense"),
]


@pytest.mark.parametrize(("key", "written"), REFUSED)
def test_what_no_provider_accepts_is_refused(key: str, written: str) -> None:
    """The error names the setting and what it must be, and never shows its value."""
    with pytest.raises(ConfigurationError) as refused:
        check_startup(load(environ=GOOD | FURTHER.get(key, {}) | {variable(key): written}).settings)
    section, _, name = key.partition(".")
    assert key in refused.value.message or f"[{section}] {name}" in refused.value.message
    if len(written) > 5:
        assert written not in refused.value.message
