"""The pipeline as its users meet it: real processes, real traffic, and nothing lost, doubled or out of order."""

import asyncio
import contextlib
import re
import shutil
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect

from msgctl.agents.agents import Agents
from msgctl.auth.tokens import issue
from msgctl.config.settings import Settings
from msgctl.local.fakes.n8n import FakeN8n, N8nBehavior
from tools.support.daemons import PATIENCE, Daemon

CONVERSATIONS = 20
EACH_WAY = 1000


class Pipeline:
    """A running pipeline and one user of it."""

    def __init__(self, address: str, token: str, agent_id: str) -> None:
        self.address = address
        self.token = token
        self.agent_id = agent_id

    @property
    def socket_url(self) -> str:
        """Where a browser connects."""
        return f"ws://{self.address}/ws/chat?token={self.token}"


@pytest.fixture
async def pipeline(settings: Settings) -> AsyncIterator[Pipeline]:
    """A gateway, a subscriber and two workers as processes; short pauses between attempts."""
    quick = settings.model_copy(update={"retry": settings.retry.model_copy(update={"base": 0.2})})
    async with contextlib.AsyncExitStack() as stack:
        agents = await stack.enter_async_context(Agents(settings))
        agent = await agents.add(user_id="ana", name="Support", webhook_path="support")
        await stack.enter_async_context(Daemon("subscriber", quick))
        gateway = await stack.enter_async_context(Daemon("gateway", quick))
        for _ in range(2):
            await stack.enter_async_context(Daemon("worker", quick))
        found = re.search(r"127\.0\.0\.1:\d+", gateway.status)
        assert found, gateway.status
        yield Pipeline(found.group(), issue(settings, "ana", 3600), agent.id)


class Conversation:
    """One socket that speaks in one conversation, by REST and by WebSocket in turn, and hears the replies.

    Args:
        pipeline: what to talk to.
        name: the conversation's id.
        socket: connected.
        http: for the REST half.
    """

    def __init__(
        self, pipeline: Pipeline, name: str, socket: ClientConnection, http: aiohttp.ClientSession
    ) -> None:
        self._pipeline = pipeline
        self._name = name
        self._socket = socket
        self._http = http
        self._acknowledged = asyncio.Event()
        self.sent: list[str] = []
        self.heard: list[dict[str, Any]] = []
        self.problems: list[dict[str, Any]] = []

    async def talk(self, each_way: int) -> None:
        """Send twice `each_way` messages, each once the one before was accepted, and hear out the replies."""
        listening = asyncio.create_task(self._listen(2 * each_way))
        for number in range(each_way):
            await self._say_by_socket(f"{self._name}-ws-{number}")
            await self._say_by_rest(f"{self._name}-rest-{number}")
        await asyncio.wait_for(listening, 4 * PATIENCE)

    async def _say_by_socket(self, message_id: str) -> None:
        self._acknowledged.clear()
        data = {
            "agentId": self._pipeline.agent_id,
            "content": message_id,
            "conversationId": self._name,
            "messageId": message_id,
        }
        await self._socket.send(msgspec.json.encode({"type": "message", "data": data}).decode())
        self.sent.append(message_id)
        await asyncio.wait_for(self._acknowledged.wait(), PATIENCE)

    async def _say_by_rest(self, message_id: str) -> None:
        body = {
            "agentId": self._pipeline.agent_id,
            "message": message_id,
            "conversationId": self._name,
            "messageId": message_id,
        }
        headers = {"Authorization": f"Bearer {self._pipeline.token}"}
        url = f"http://{self._pipeline.address}/api/messages"
        async with self._http.post(url, json=body, headers=headers) as answer:
            assert answer.status == 202, await answer.text()
        self.sent.append(message_id)

    async def _listen(self, replies: int) -> None:
        while len(self.heard) < replies:
            frame = msgspec.json.decode(await self._socket.recv())
            if frame["type"] == "processing":
                self._acknowledged.set()
            elif frame["type"] == "message":
                self.heard.append(frame["data"])
            elif frame["type"] not in {"connected", "queued"}:
                self.problems.append(frame)


async def test_two_thousand_messages_are_answered_in_order_and_once(pipeline: Pipeline, n8n: FakeN8n) -> None:
    """1,000 by REST and 1,000 by WebSocket, 20 conversations, a tenth of n8n's calls failing once."""
    n8n.reset(N8nBehavior(fail_once=0.1))
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        conversations = []
        for number in range(CONVERSATIONS):
            socket = await stack.enter_async_context(connect(pipeline.socket_url))
            conversations.append(Conversation(pipeline, f"conversation-{number}", socket, http))
        await asyncio.gather(*(one.talk(EACH_WAY // CONVERSATIONS) for one in conversations))
    for conversation in conversations:
        assert [reply["messageId"] for reply in conversation.heard] == conversation.sent
        assert [reply["seq"] for reply in conversation.heard] == list(range(1, len(conversation.sent) + 1))
        assert not conversation.problems
    answered = [one for ids in n8n.answer_order.values() for one in ids]
    assert len(answered) == len(set(answered)) == 2 * EACH_WAY
    assert n8n.calls_by_message.total() > 2 * EACH_WAY


SEEDS_CLIENT = """
const ws = new WebSocket('ws://%(address)s/ws/chat?token=%(token)s');

ws.onmessage = (event) => {
  const data = JSON.parse(event.data);

  switch (data.type) {
    case 'connected':
      console.log('Conectado!', data.data.socketId);
      ws.send(JSON.stringify({
        type: 'message',
        data: {
          agentId: '%(agent)s',
          content: 'Olá, como posso ajudar?'
        }
      }));
      break;

    case 'queued':
      console.log('Mensagem enfileirada');
      break;

    case 'processing':
      console.log('Processando...', JSON.stringify(data.data));
      break;

    case 'message':
      console.log('Resposta recebida:', data.data.message);
      ws.close();
      break;
  }
};
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js here to run the JavaScript client")
async def test_the_seeds_javascript_client_works(pipeline: Pipeline) -> None:
    """The client code of the architecture document, as written but for host and token."""
    script = SEEDS_CLIENT % {
        "address": pipeline.address,
        "token": pipeline.token,
        "agent": pipeline.agent_id,
    }
    node = await asyncio.create_subprocess_exec(
        *("node", "--experimental-websocket", "-e", script),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, complaints = await asyncio.wait_for(node.communicate(), PATIENCE)
    if b"bad option" in complaints:
        pytest.skip("this Node.js has no WebSocket of its own")
    said = defaultdict(str, enumerate(printed.decode().splitlines()))
    assert said[0].startswith("Conectado! "), complaints
    assert said[1] == "Mensagem enfileirada"
    assert re.match(r'Processando... {"conversationId":".+","messageId":".+","jobId":".+"', said[2])
    assert said[3].startswith("Resposta recebida: ")
    assert "Olá, como posso ajudar?" in said[3]
