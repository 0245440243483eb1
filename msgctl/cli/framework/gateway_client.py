"""The gateway's API, as a client uses it; imported only where `--via-api` says so, since requests takes 0.1 s."""

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
"""Seconds a token for the gateway is good for."""
GATEWAY_REQUEST_TIMEOUT_S = 15.0
"""Seconds one request may take."""


def gateway_url(settings: Settings) -> str:
    """Where the gateway is, as seen from its own machine."""
    host = settings.gateway.host
    named = "127.0.0.1" if host in {"0.0.0.0", "::", ""} else f"[{host}]" if ":" in host else host  # noqa: S104
    return f"http://{named}:{settings.gateway.port}"


class GatewayClient:
    """The gateway, as a client sees it.

    Args:
        settings: `gateway.*` and `auth.*`; the token is issued here, for each user.
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
            NotFound, InvalidInput, Refused: it refuses this message.
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
