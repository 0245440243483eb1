"""The dashboard as pictures of a fixed moment: `make screenshots` draws them anew, a test compares.

python -m tests.support.screenshots
"""

import asyncio
import re
import tempfile
from pathlib import Path
from typing import Any

from msgctl.config.settings import Settings
from msgctl.domain.messages import Channel, Message
from msgctl.local.servers.valkey import ValkeyServer
from msgctl.storage.redis.connections import connect
from msgctl.tui.recording import SnapshotPlayer
from tests.support.dashboard import Sight, looking, make_desk
from tests.support.dashboard_sample import AT, sample
from tests.support.messages import Traffic

FOLDER = Path(__file__).parents[1] / "tui" / "drawn"
DOCS = Path(__file__).parents[2] / "docs"
FONTS = re.compile(r"@font-face \{.*?\}", re.DOTALL)
SIZES = ((80, 24), (120, 40), (200, 60))


async def draw(settings: Settings, folder: Path, size: tuple[int, int]) -> tuple[str, str]:
    """The overview of the made-up evening, as text and as SVG.

    Args:
        settings: no server of theirs is asked.
        folder: takes the recording that is looked at.
        size: columns and rows.
    """
    path = folder / "evening.jsonl"
    path.write_bytes(sample().to_json() + b"\n")
    client = connect(settings)
    desk = make_desk(client, settings)
    desk.player, desk.clock = SnapshotPlayer(path), lambda: AT / 1000
    try:
        async with looking(desk, size) as sight:
            await sight.shows("answered a second", "NOT HEALTHY")
            await sight.pilot.pause()
            return sight.text + "\n", _picture(sight)
    finally:
        await client.aclose()


async def _draw_dead_letters(settings: Settings) -> str:
    """The dead letters of a real queue, as SVG."""
    client = connect(settings)
    try:
        await _bury(Traffic(client, settings))
        async with looking(make_desk(client, settings), (120, 30)) as sight:
            await sight.press("3")
            await sight.shows("14 of 14")
            await sight.press("x")
            await sight.shows("[x]")
            return _picture(sight)
    finally:
        await client.aclose()


async def _bury(traffic: Traffic) -> None:
    """Fourteen messages that failed for three reasons."""
    reasons: list[tuple[Any, ...]] = [
        (Channel.WHATSAPP, b'{"code":"n8n_timeout","text":"n8n gave no whole answer within 120 s."}', 8),
        (Channel.WEB, b'{"code":"n8n_rejected","text":"n8n answered HTTP 422: it could not read the body."}', 5),
        (Channel.API, b'{"code":"agent_gone","text":"The agent was deleted, disabled or given away since."}', 1),
    ]
    for channel, error, count in reasons:
        for number in range(count):
            name = f"{channel}-{number}"
            message = Message(
                message_id=name,
                conversation_id=name,
                agent_id="a",
                user_id="ana",
                message="hello",
                channel=channel,
                timestamp="2026-01-01T00:00:00.000Z",
            )
            await traffic.queue.enqueue(message, digest=message.digest())
            (claimed,) = await traffic.claims.claim(1)
            await traffic.fail(claimed, error)


def _picture(sight: Sight) -> str:
    """The screen as SVG, in whatever font of even width the reader has: Textual's asks another host for one."""
    svg = sight.app.export_screenshot(title="msgctl dash")
    return FONTS.sub("", svg).replace("Fira Code", "monospace")


async def main() -> None:
    """Draw everything anew."""
    FOLDER.mkdir(exist_ok=True)
    DOCS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            text, svg = await draw(Settings(), Path(folder), size)
            (FOLDER / f"{size[0]}x{size[1]}.txt").write_text(text, "utf-8")
            if size == SIZES[1]:
                (DOCS / "dashboard-overview.svg").write_text(svg, "utf-8")
        async with ValkeyServer(Path(folder, "valkey")) as valkey:
            settings = Settings.model_validate({"redis": {"host": "127.0.0.1", "port": valkey.port}})
            (DOCS / "dashboard-dead-letters.svg").write_text(await _draw_dead_letters(settings), "utf-8")


if __name__ == "__main__":
    asyncio.run(main())
