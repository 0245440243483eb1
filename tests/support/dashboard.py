"""A dashboard driven by keys and read as text."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from textual.pilot import Pilot

from msgctl.config.settings import Settings
from msgctl.operations.context import Context
from msgctl.queue.queue import Queue
from msgctl.storage.redis.client import RedisClient
from msgctl.tui.app import Dashboard
from msgctl.tui.context import DashboardContext
from tools.support.daemons import until

NAMED = {" ": "space", ":": "colon", "_": "underscore", "-": "minus", "/": "slash"}
"""Keys that Textual calls by a name."""


def make_desk(redis: RedisClient, settings: Settings) -> DashboardContext:
    """A desk that looks often."""
    return DashboardContext(settings, Context(settings, redis, Queue(redis, settings)), interval_s=0.5)


class Sight:
    """A running dashboard.

    Args:
        pilot: presses its keys.
    """

    def __init__(self, pilot: Pilot[None]) -> None:
        self.pilot = pilot
        assert isinstance(pilot.app, Dashboard)
        self.app: Dashboard = pilot.app

    @property
    def text(self) -> str:
        """What the screen shows, line by line."""
        return "\n".join(strip.text.rstrip() for strip in self.app.screen._compositor.render_strips())

    async def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        await self.pilot.press(*keys)

    async def type(self, text: str) -> None:
        """Type a text and Enter."""
        await self.pilot.press(*(NAMED.get(character, character) for character in text), "enter")

    async def shows(self, *words: str) -> None:
        """Return once all of these are on the screen."""
        await until(lambda: all(word in self.text for word in words), f"{words} on\n{self.text}")

    async def hides(self, word: str) -> None:
        """Return once this is not on the screen."""
        await until(lambda: word not in self.text, f"no {word!r} on\n{self.text}")


@asynccontextmanager
async def looking(desk: DashboardContext, size: tuple[int, int] = (140, 40)) -> AsyncIterator[Sight]:
    """A dashboard on a terminal of this size, once it has drawn its first look."""
    async with Dashboard(desk).run_test(size=size, notifications=True) as pilot:
        sight = Sight(pilot)
        await pilot.pause()
        yield sight
