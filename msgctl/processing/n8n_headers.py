"""The headers of a call of n8n: its credentials, and the identity of the message. Pure."""

from base64 import b64encode

from msgctl.config.settings import N8nSettings
from msgctl.observability import tracing


def fixed_headers(n8n: N8nSettings) -> dict[str, str]:
    """Return the headers that every call has.

    The credentials are those of n8n's Webhook node: Header Auth with any name, Bearer, and Basic. A user in
    `n8n.base_url` becomes Basic too, in `msgctl.http.pool`. Which of them exclude each other, the settings check.
    """
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    if key := n8n.api_key.get_secret_value():
        headers["X-API-Key"] = key
    if n8n.header_name:
        headers[n8n.header_name] = n8n.header_value.get_secret_value()
    if token := n8n.bearer_token.get_secret_value():
        headers["Authorization"] = f"Bearer {token}"
    if n8n.username:
        login = f"{n8n.username}:{n8n.password.get_secret_value()}"
        headers["Authorization"] = f"Basic {b64encode(login.encode()).decode()}"
    return headers


def message_headers(message_id: str) -> dict[str, str]:
    """Return the headers of one message's call, the same at each attempt except for the span."""
    return {
        "X-Message-Id": message_id,
        "Idempotency-Key": message_id,
        "traceparent": tracing.traceparent(message_id),
    }
