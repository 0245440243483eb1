"""A client of the gateway's HTTP API. Only `--via-api` imports it, because requests takes 0.1 s."""

import asyncio
from typing import Any

import msgspec
import requests

from msgctl.auth import tokens
from msgctl.config.settings import Settings
from msgctl.domain.errors import Unavailable
from msgctl.http.gateway_errors import gateway_error
from msgctl.intake.accept import Submission

API_TOKEN_LIFETIME_S = 300.0
GATEWAY_REQUEST_TIMEOUT_S = 15.0


def gateway_url(settings: Settings) -> str:
    """Return the URL of the gateway on its own machine."""
    host = settings.gateway.host
    address = "127.0.0.1" if host in {"0.0.0.0", "::", ""} else f"[{host}]" if ":" in host else host  # noqa: S104
    return f"http://{address}:{settings.gateway.port}"


class GatewayClient:
    """Sends messages through the gateway, as a client does.

    Args:
        settings: `gateway.*` and `auth.*`. The client issues a token for each user.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = f"{gateway_url(settings)}/api/messages"
        self._http = requests.Session()
        self._tokens: dict[str, str] = {}

    async def send(self, submission: Submission, user_id: str) -> dict[str, Any]:
        """Post one message and return the `data` of the answer.

        Raises:
            Unavailable: the gateway does not answer, or not now.
            NotFound, InvalidInput, Refused: the gateway refuses this message.
        """
        return await asyncio.to_thread(self._post, submission, user_id)

    def _post(self, submission: Submission, user_id: str) -> dict[str, Any]:
        token = self._tokens.setdefault(user_id, tokens.issue(self._settings, user_id, API_TOKEN_LIFETIME_S))
        body = {name: value for name, value in msgspec.to_builtins(submission).items() if value is not None}
        try:
            answer = self._http.post(
                self._url,
                json=body,
                headers={"Authorization": f"Bearer {token}"},
                timeout=GATEWAY_REQUEST_TIMEOUT_S,
            )
            document = answer.json()
        except requests.RequestException as error:
            problem = type(error).__name__
            raise Unavailable(
                f"The gateway at {self._url} does not answer ({problem}). Start it: msgctl start gateway"
            ) from None
        if answer.status_code == 202:
            data: dict[str, Any] = document["data"]
            return data
        raise gateway_error(answer.status_code, document)
