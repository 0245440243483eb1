"""The sender of channel `api`: callbacks, signed after Standard Webhooks, to URLs that `ssrf_guard` permits."""

import base64
import hashlib
import hmac
import time
from typing import ClassVar

from msgctl.channels.callback.errors import CODES
from msgctl.channels.error_codes import failure
from msgctl.channels.send_limits import SendLimits, digest
from msgctl.channels.text.composer import UNTOUCHED, compose
from msgctl.channels.text.styled import TextPart
from msgctl.config.callback_secret import decode_callback_secret
from msgctl.config.settings import Settings
from msgctl.domain.errors import BadAddress
from msgctl.domain.messages import Response
from msgctl.http.client import HttpClient
from msgctl.http.ssrf_guard import check_url


class CallbackSender:
    """Posts responses to `channelMetadata.callbackUrl`.

    The receiver deduplicates by `webhook-id`, so a callback of unknown outcome is sent again.

    Args:
        settings: `callback.*`.
        client: calls the operator's own hosts.
        guarded_client: calls all other hosts, at public addresses only.
    """

    idempotent: ClassVar[bool] = True

    def __init__(self, settings: Settings, client: HttpClient, guarded_client: HttpClient) -> None:
        self._settings = settings.callback
        self.schedule = settings.callback.schedule
        self._client = client
        self._guarded_client = guarded_client

    def send_limits(self, response: Response) -> SendLimits:
        """Return the URL, which is not called after it answered 410."""
        url, _ = check_url(response.channel_metadata.get("callbackUrl"), self._settings.allowed_hosts)
        return SendLimits(url=f"{digest(url)} {url.host}")

    def unknown_policy(self, response: Response) -> str:  # noqa: ARG002 - the receiver deduplicates
        """Return `resend`."""
        return "resend"

    async def find_sent(self, response: Response, part: TextPart, since: float) -> str | None:  # noqa: ARG002 - as the protocol has it
        """Return None: a receiver cannot be asked."""
        return None

    def parts(self, response: Response) -> list[TextPart]:
        """Return the whole text: a callback is never split."""
        return compose(response.response.message, UNTOUCHED)

    async def send(self, response: Response, part: TextPart, *, first: bool) -> str:  # noqa: ARG002 - it is sent whole
        """Post the response as JSON and return an empty id: a receiver gives none.

        Raises:
            DeliveryFailed: as `ChannelSender.send` says.
        """
        url, trusted = check_url(response.channel_metadata.get("callbackUrl"), self._settings.allowed_hosts)
        body = response.to_json()
        headers = {
            "Content-Type": "application/json",
            **sign(self._settings.secret.get_secret_value(), response.message_id, body, sent_at=int(time.time())),
        }
        client = self._client if trusted else self._guarded_client
        answer = await client.post(url, who="callback", headers=headers, body=body)
        if not answer.ok:
            raise failure("callback", answer, answer.status, CODES, deduplicates=True)
        return ""


def sign(secrets: str, message_id: str, body: bytes, *, sent_at: int) -> dict[str, str]:
    """Return the three headers of Standard Webhooks.

    Args:
        secrets: one or more secrets, separated by spaces, each `whsec_` and base64 of 24 to 64 bytes. Each one
            adds a signature.
        message_id: the same at each attempt.
        body: the body that is sent.
        sent_at: Unix seconds of this attempt.

    Raises:
        BadAddress: a secret is missing or does not have that form.
    """
    signed = b".".join((message_id.encode(), str(sent_at).encode(), body))
    signatures = [hmac.digest(_key(secret), signed, hashlib.sha256) for secret in secrets.split() or [""]]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(signature).decode()}" for signature in signatures),
    }


def _key(secret: str) -> bytes:
    try:
        return decode_callback_secret(secret)
    except ValueError as error:
        raise BadAddress(
            f"Callbacks cannot be signed: [callback] secret {error}.",
            code="not_configured",
        ) from None
