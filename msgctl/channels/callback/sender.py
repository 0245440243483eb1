"""Channel `api`: an HTTP callback, signed after Standard Webhooks, to where `guard` lets it go."""

import base64
import binascii
import hashlib
import hmac
import time
from typing import ClassVar

from msgctl.channels.callback.errors import CODES
from msgctl.channels.error_codes import failure
from msgctl.channels.send_limits import SendLimits, digest
from msgctl.config.settings import Settings
from msgctl.domain.errors import BadAddress
from msgctl.domain.messages import Response
from msgctl.http.client import HttpClient
from msgctl.http.ssrf_guard import check_url

SECRET_PREFIX = "whsec_"  # noqa: S105 - what every secret begins with, itself none
SECRET_BYTES = range(24, 65)


class CallbackSender:
    """Posts responses to `channelMetadata.callbackUrl`.

    The receiver knows a repetition by `webhook-id`, so a callback of doubtful fate is sent again.

    Args:
        settings: `callback.*`.
        client: calls the operator's own hosts.
        guarded_client: calls everything else; its connector is `guard.guarded_connector()`.
    """

    idempotent: ClassVar[bool] = True

    def __init__(self, settings: Settings, client: HttpClient, guarded_client: HttpClient) -> None:
        self._settings = settings.callback
        self.schedule = settings.callback.schedule
        self._client = client
        self._guarded_client = guarded_client

    def send_limits(self, response: Response) -> SendLimits:
        """A URL that said 410 is not called."""
        url, _ = check_url(response.channel_metadata.get("callbackUrl"), self._settings.allowed_hosts)
        return SendLimits(url=f"{digest(url)} {url.host}")

    def unknown_policy(self, response: Response) -> str:  # noqa: ARG002 - the receiver knows a repetition
        """It is sent again."""
        return "resend"

    async def find_sent(self, response: Response, text: str, since: float) -> str | None:  # noqa: ARG002 - as the protocol has it
        """There is nothing to ask for."""
        return None

    def parts(self, response: Response) -> list[str]:
        """The whole text: a callback is never split."""
        return [response.response.message]

    async def send(self, response: Response, text: str, *, first: bool) -> str:  # noqa: ARG002 - it is sent whole
        """Post the response as JSON; a receiver gives no id.

        Raises:
            DeliveryFailed: as `ChannelSender.send` says.
        """
        url, trusted = check_url(response.channel_metadata.get("callbackUrl"), self._settings.allowed_hosts)
        body = response.to_json()
        headers = {
            "Content-Type": "application/json",
            **sign(self._settings.secret.get_secret_value(), response.message_id, body, moment=int(time.time())),
        }
        client = self._client if trusted else self._guarded_client
        answer = await client.post(url, who="callback", headers=headers, body=body)
        if not answer.ok:
            raise failure("callback", answer, answer.status, CODES)
        return ""


def sign(secrets: str, message_id: str, body: bytes, *, moment: int) -> dict[str, str]:
    """The three headers of Standard Webhooks.

    Args:
        secrets: each `whsec_` and base64 of 24 to 64 bytes, with spaces between; each signs once.
        message_id: the same at each attempt.
        body: what is sent.
        moment: Unix seconds of this attempt.

    Raises:
        BadAddress: a secret is missing or not of that form.
    """
    signed = b".".join((message_id.encode(), str(moment).encode(), body))
    digests = [hmac.digest(_key(secret), signed, hashlib.sha256) for secret in secrets.split() or [""]]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(moment),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(one).decode()}" for one in digests),
    }


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or len(key) not in SECRET_BYTES:
        raise BadAddress(
            "Callbacks cannot be signed: set [callback] secret to whsec_ and base64 of 24 to 64 bytes.",
            code="not_configured",
        )
    return key
