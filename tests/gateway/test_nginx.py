"""The example of nginx in front of a gateway works as it stands: TLS, sockets, addresses, no token in a log."""

import asyncio
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from daemons.gateway.app import serve
from msgctl.agents.agents import Agent
from msgctl.config.settings import Settings
from tests.support.certificate import write_certificate
from tests.support.gateway_clients import Client, running
from tests.support.paths import ROOT
from tools.support.daemons import until

EXAMPLE = ROOT / "examples" / "nginx.conf"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed: apt-get install nginx")


def example(folder: Path, upstream: str, port: int) -> str:
    """The example with this test's addresses and paths in it."""
    changes = {
        "server 127.0.0.1:3000;": f"server {upstream};",
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "/etc/ssl/chat.example.com.": f"{folder}/cert.",
        "/var/log/nginx/": f"{folder}/",
    }
    text = EXAMPLE.read_text("utf-8")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    places = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"daemon off; pid {folder}/pid; events {{}} http {{ {places}\n{text} }}"


@asynccontextmanager
async def nginx(folder: Path, upstream: str) -> AsyncIterator[int]:
    """The port of an nginx that runs the example."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    write_certificate(folder)
    (folder / "nginx.conf").write_text(example(folder, upstream, port))
    process = await asyncio.create_subprocess_exec(
        *(str(NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "start.log")),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await until(lambda: listens(port), "nginx to listen")
        yield port
    finally:
        process.terminate()
        await process.wait()


async def listens(port: int) -> bool:
    """Whether somebody accepts connections at a port."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def read_logs(folder: Path) -> str:
    """All that nginx has logged."""
    return "".join(file.read_text() for file in folder.glob("*.log"))


async def test_nginx_example_works(settings: Settings, agent: Agent, tmp_path: Path) -> None:
    """POST and WebSocket through TLS; one client's X-Forwarded-For is not believed; no token is in any log."""
    gateway = settings.gateway.model_copy(update={"trusted_proxies": ["127.0.0.1"]})
    limits = settings.limits.model_copy(update={"address_sockets": 1})
    async with running(serve, settings.model_copy(update={"gateway": gateway, "limits": limits})) as life:
        upstream = life.status.result().removeprefix("listening at http://")
        async with nginx(tmp_path, upstream) as port:
            trust = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as http:
                client = Client(f"https://localhost:{port}", settings, "ana", http)
                assert (await client.post({"agentId": agent.id, "message": "oi"})).status == 202
                too_large = await client.post(b"x" * 70_000)
                assert too_large.status == 413
                gathered = await client.request("POST", "/webhooks/whatsapp", data=b"x" * 70_000)
                assert gathered.code == "not_found", "a webhook may be larger, and it is the gateway that answers"
                lie = {"X-Forwarded-For": "192.0.2.1"}
                async with client.socket(ssl=trust, origin=client.url) as chat:
                    await chat.hear("connected")
                    await chat.say("message", agentId=agent.id, content="oi")
                    await chat.hear("queued")
                    async with client.socket(ssl=trust, additional_headers=lie) as second:
                        assert (await second.closed())[0] == 4429
    written = read_logs(tmp_path)
    assert "/ws/chat" in written
    assert client.token not in written
    assert "token=" not in written
