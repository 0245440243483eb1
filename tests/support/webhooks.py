"""Webhooks as the providers send them, signed."""

import base64
import hashlib
import hmac
from typing import Any
from urllib.parse import urlencode

import aiohttp
import msgspec
from pydantic import SecretStr

from msgctl.agents.agents import Agent
from msgctl.config.settings import Settings
from msgctl.domain.messages import Message, Response
from msgctl.observability.metrics import definitions as metrics
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient

SECRET = "a-secret_token-of-the-bot"

APP_SECRET = "the secret of the app"

PUBLIC = "https://chat.example.com"

PHONE = "5511999990000"


def open_webhooks(settings: Settings, agent: Agent, *, routes: list[str], unreadable: str) -> Settings:
    """Settings in which the webhooks of all providers are open.

    Args:
        settings: the settings to change.
        agent: answers on the first bot and number of each provider.
        routes: `inbound.routes`, for the others.
        unreadable: `inbound.unreadable`.
    """
    changes: dict[str, dict[str, Any]] = {
        "telegram": {"token": SecretStr("77:x 88:y"), "webhook_secret": SecretStr(SECRET), "agent": agent.id},
        "whatsapp": {"phone_number_id": "1065", "app_secret": SecretStr(APP_SECRET), "agent": agent.id},
        "twilio": {
            "account_sid": "AC1",
            "auth_token": SecretStr("twilio"),
            "sender": "+1415",
            "public_url": PUBLIC,
            "agent": agent.id,
        },
        "inbound": {"routes": routes, "unreadable": unreadable},
    }
    changed = {name: getattr(settings, name).model_copy(update=values) for name, values in changes.items()}
    return settings.model_copy(update=changed)


async def post(url: str, body: bytes, **headers: str) -> int:
    """Send a webhook; the status."""
    async with aiohttp.ClientSession() as http, http.post(url, data=body, headers=headers) as answer:
        await answer.read()
        return answer.status


async def messages(redis: RedisClient) -> list[Message]:
    """What is in the queue."""
    key_names = [key async for key in redis.scan_iter(keys.RQ_JOB + "*")]
    found: list[Any] = [await redis.hget(key, keys.FIELD_MESSAGE) for key in key_names]
    return [msgspec.json.decode(one, type=Message) for one in found]


def update(number: int = 1, **chat: Any) -> bytes:
    """An update of Telegram's."""
    message = {"message_id": 5, "chat": {"id": 42, "type": "private"} | chat, "text": "Olá"}
    return msgspec.json.encode({"update_id": number, "message": message})


async def tell_telegram(door: str, body: bytes, secret: str = SECRET) -> int:
    """Post an update."""
    return await post(f"{door}/webhooks/telegram", body, **{"X-Telegram-Bot-Api-Secret-Token": secret})


def meta(**value: Any) -> bytes:
    """A webhook of Meta's."""
    value = {"messaging_product": "whatsapp", "metadata": {"phone_number_id": "1065"}, **value}
    return msgspec.json.encode(
        {"object": "x", "entry": [{"id": "1", "changes": [{"field": "messages", "value": value}]}]}
    )


async def tell_meta(door: str, body: bytes, secret: str = APP_SECRET) -> int:
    """Post a signed webhook."""
    signature = "sha256=" + hmac.digest(secret.encode(), body, hashlib.sha256).hex()
    return await post(f"{door}/webhooks/whatsapp", body, **{"X-Hub-Signature-256": signature})


async def tell_twilio(door: str, form: dict[str, str], query: str = "", secret: str = "twilio") -> int:
    """Post a signed form."""
    signed = f"{PUBLIC}/webhooks/twilio{query}" + "".join(name + form[name] for name in sorted(form))
    signature = base64.b64encode(hmac.digest(secret.encode(), signed.encode(), hashlib.sha1)).decode()
    headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}
    return await post(f"{door}/webhooks/twilio{query}", urlencode(form).encode(), **headers)


WORD = {"messages": [{"id": "wamid.1", "from": PHONE, "type": "text", "text": {"body": "Olá"}}]}

FORM = {
    "MessageSid": "SM1",
    "AccountSid": "AC1",
    "From": f"whatsapp:+{PHONE}",
    "To": "whatsapp:+1415",
    "Body": "Olá",
}


def counted(channel: str, kind: str) -> float:
    """How many records of a kind this process has counted."""
    return float(metrics.INBOUND_MESSAGES.labels(channel, kind)._value.get())


def refused(channel: str, reason: str) -> float:
    """How many records this process has refused for a reason."""
    return float(metrics.INBOUND_REFUSALS.labels(channel, reason)._value.get())


async def told(redis: RedisClient) -> list[Response]:
    """The responses that wait for their delivery."""
    entries: Any = await redis.xrange(keys.RESPONSES)
    return [msgspec.json.decode(fields["body"], type=Response) for _, fields in entries]


def words(text: str, number: int = 1, sender: str = PHONE, **fields: Any) -> dict[str, Any]:
    """A text message of Meta's."""
    return {"id": f"wamid.{number}", "from": sender, "type": "text", "text": {"body": text}, **fields}


def entries(*values: dict[str, Any]) -> bytes:
    """A webhook of Meta's with one entry for each value."""
    listed = [
        {"id": "1", "changes": [{"field": "messages", "value": {"messaging_product": "whatsapp", **value}}]}
        for value in values
    ]
    return msgspec.json.encode({"object": "whatsapp_business_account", "entry": listed})


def number_value(number: str = "1065", **records: Any) -> dict[str, Any]:
    """The value of an entry for one phone number id."""
    return {"metadata": {"display_phone_number": "15550100200", "phone_number_id": number}, **records}


async def tell_twilio_fields(door: str, fields: list[tuple[str, str]], *, signed_url: str) -> int:
    """Post a form whose names may repeat, signed over a URL as Twilio's own library does."""
    signed = signed_url + "".join(name + value for name, value in sorted(set(fields)))
    signature = base64.b64encode(hmac.digest(b"twilio", signed.encode(), hashlib.sha1)).decode()
    headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}
    return await post(f"{door}/webhooks/twilio", urlencode(fields).encode(), **headers)
