"""The demo's customers: one at a WebSocket, others at the REST door with four channels between them."""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

import requests
from websockets.asyncio.client import ClientConnection, connect

from msgctl.config.settings import Settings
from msgctl.domain.errors import Unavailable
from msgctl.local.demo.board import DemoBoard, DemoMessage
from msgctl.local.fakes.providers import RecordedRequest
from msgctl.storage.redis.connections import blocking_client
from msgctl.storage.redis.keys import PROGRESS_CHANNEL

DEMO_REQUEST_TIMEOUT_S = 10.0
"""Seconds one request may take."""
DEMO_PHONE, DEMO_CHAT_ID = "+5511987654321", "424242"


async def follow_progress(settings: Settings, board: DemoBoard, listening: asyncio.Event) -> None:
    """Show each step as a worker reports it, until cancelled."""
    async with blocking_client(settings, max_block_s=3600) as redis, redis.pubsub() as channel:
        await channel.subscribe(PROGRESS_CHANNEL)
        async for heard in channel.listen():
            listening.set()  # the first thing heard is that the subscription stands
            if heard["type"] == "message":
                event = json.loads(heard["data"])
                board.record_step(event["messageId"], event["progress"])


async def open_socket(gateway: str, token: str) -> tuple[ClientConnection, str]:
    """A WebSocket at the gateway, and the id the gateway gives it."""
    url = f"{gateway.replace('http', 'ws', 1)}/ws/chat?token={token}"
    socket = await connect(url, proxy=None)  # loopback: no proxy has a say
    hello = json.loads(await asyncio.wait_for(socket.recv(), DEMO_REQUEST_TIMEOUT_S))
    return socket, hello["data"]["socketId"]


async def follow_socket(socket: ClientConnection, board: DemoBoard) -> None:
    """Show each reply that arrives at the socket, until cancelled.

    Raises:
        Unavailable: the gateway refused a message.
    """
    async for raw in socket:
        frame = json.loads(raw)
        if frame["type"] == "message":
            board.record_reply(frame["data"]["messageId"], frame["data"]["message"])
        elif frame["type"] == "error":
            raise Unavailable(f"The gateway refused a message: {frame['data']}")


async def send_by_socket(
    socket: ClientConnection, rows: Sequence[DemoMessage], agent: str, conversation: str
) -> None:
    """Say several things in one conversation without waiting: they are answered in order."""
    for row in rows:
        row.sent_at = time.monotonic()
        data = {"agentId": agent, "content": row.text, "conversationId": conversation, "messageId": row.message_id}
        await socket.send(json.dumps({"type": "message", "data": data}))


async def send_by_rest(gateway: str, token: str, row: DemoMessage, body: dict[str, Any]) -> None:
    """Send one message over REST.

    Raises:
        Unavailable: the gateway did not accept it.
    """
    row.sent_at = time.monotonic()
    answer = await asyncio.to_thread(_post, f"{gateway}/api/messages", token, body)
    if answer.status_code != 202:
        raise Unavailable(f"The gateway answered {answer.status_code}: {answer.text[:300]}")


def show_provider_request(board: DemoBoard, rows: dict[str, DemoMessage], recorded: RecordedRequest) -> None:
    """Show a reply that has reached the provider of its channel.

    Args:
        board: where to show it.
        rows: the one message of each channel, by channel.
        recorded: what the provider was sent.
    """
    if recorded.problem:
        return
    fields = recorded.fields
    texts = {
        "telegram": fields.get("text"),
        "whatsapp": (fields.get("text") or ""),
        "callback": fields.get("response"),
    }
    found = texts[recorded.provider]
    text = found if isinstance(found, str) else (found or {}).get("body") or (found or {}).get("message") or ""
    channel = "api" if recorded.provider == "callback" else recorded.provider
    board.record_reply(rows[channel].message_id, text)


def _post(url: str, token: str, body: dict[str, Any]) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False  # loopback: no proxy and no .netrc has a say
        return session.post(
            url, json=body, headers={"Authorization": f"Bearer {token}"}, timeout=DEMO_REQUEST_TIMEOUT_S
        )
