"""A Valkey with a configuration of its own, and numbered messages to put into it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgctl.domain.messages import Message
from msgctl.local.servers.valkey import _find_program


@asynccontextmanager
async def server(folder: Path, configuration: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Valkey with this configuration, killed at the end."""
    file = _configure(folder, configuration)
    process = await asyncio.create_subprocess_exec(str(_find_program()), str(file), *arguments)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _configure(folder: Path, configuration: str) -> Path:
    folder.mkdir()
    file = folder / "valkey.conf"
    file.write_text(f"bind 127.0.0.1\ndir {folder}\nlogfile {folder}/log\n{configuration}\n", "utf-8")
    return file


def message(number: int) -> Message:
    """Message `number`, in a conversation of its own."""
    return Message(
        message_id=f"m-{number}",
        conversation_id=f"c-{number}",
        agent_id="a",
        user_id="ana",
        message="hello",
        timestamp="2026-01-01T00:00:00.000Z",
    )
