"""Keys, commands, palette and mouse: everything that works on every tab."""

from pathlib import Path

import pytest

from msgctl.tui.app import PANES
from msgctl.tui.desk import Desk
from tests.processes import until
from tests.traffic import Traffic
from tests.tui.conftest import looking


async def test_every_tab_by_its_number_and_by_the_mouse(desk: Desk) -> None:
    """1 to 8, and a click on the tab's name."""
    async with looking(desk, (80, 24)) as sight:
        for place, name in enumerate(PANES, 1):
            await sight.press(str(place))
            await until(lambda name=name: sight.app.pane.id == f"pane-{name}", name)
        await until(lambda: sight.pilot.click("#dead"), "the tab to be clicked")
        await until(lambda: sight.app.pane.id == "pane-dead", "the clicked tab")


@pytest.mark.parametrize("name", PANES)
async def test_help_is_about_the_tab(desk: Desk, name: str) -> None:
    """? lists the tab's own keys and those of everywhere."""
    async with looking(desk) as sight:
        sight.app.show_tab(name)
        await until(lambda: sight.app.pane.id == f"pane-{name}", name)
        await sight.press("question_mark")
        await sight.shows(PANES[name].LABEL.upper(), PANES[name].KEYS[0][1][:30], "EVERYWHERE")
        await sight.press("escape")
        await sight.hides("EVERYWHERE")


async def test_pause_stops_the_looks(desk: Desk, traffic: Traffic) -> None:
    """Key p holds the picture, r looks once, p goes on."""
    async with looking(desk) as sight:
        await sight.shows("waiting 0")
        await sight.press("p")
        await sight.shows("PAUSED (p)")
        await traffic.waiting("w1")
        await sight.pilot.pause(1.2)
        assert "waiting 0" in sight.text
        await sight.press("r")
        await sight.shows("waiting 1")
        await sight.press("p")
        await sight.hides("PAUSED")


async def test_commands(desk: Desk, traffic: Traffic) -> None:
    """A tab's name, a message, a filter, a pace, a theme; nonsense is told."""
    await traffic.waiting("w1")
    async with looking(desk) as sight:
        for typed, shown in (
            ("work", "0 alive"),
            ("filter user:nobody", "0 shown"),
            ("interval 1", "every 1 s"),
            ("interval soon", "Say how many seconds"),
            ("dance", "There is no command 'dance'"),
            ("at 03:12", "That is for a recording"),
            ("id w1", "state WAITING"),
        ):
            await sight.press("colon")
            await sight.type(typed)
            await sight.shows(shown)
        await sight.press("escape", "colon")
        await sight.type("theme light")
        await until(lambda: not sight.app.current_theme.dark, "the light theme")
        await sight.press("colon", "escape")
        assert not sight.app.query_one("#command").display


async def test_the_palette(desk: Desk) -> None:
    """Ctrl-P finds the tabs."""
    async with looking(desk) as sight:
        await sight.press("ctrl+p", *"channels")
        await sight.shows("Go to Channels")
        await sight.press("enter", "enter")
        await until(lambda: sight.app.pane.id == "pane-channels", "the tab")


async def test_leaving(desk: Desk) -> None:
    """Key q ends it."""
    async with looking(desk) as sight:
        await sight.press("q")
        await until(lambda: not sight.app.is_running, "the end")


async def test_the_log(desk: Desk, tmp_path: Path) -> None:
    """The end of the log file, following; or a sentence on where the log is."""
    async with looking(desk) as sight:
        await sight.press("8")
        await sight.shows("journalctl")
        logs = desk.settings.logs.model_copy(update={"directory": str(tmp_path)})
        desk.settings = desk.settings.model_copy(update={"logs": logs})
        await sight.shows("No such file or directory")
        (tmp_path / "combined.log").write_text("first\nsecond \x1b[31m[b]\n")
        await sight.shows("the last 2 lines of", "second ?[31m[b]")


async def test_workers_and_channels(desk: Desk, traffic: Traffic) -> None:
    """Who is alive, and what each channel still has to deliver."""
    await traffic.staffed()
    await traffic.completed("c1")
    async with looking(desk) as sight:
        await sight.press("4")
        await sight.shows("w1", "1 alive")
        await sight.press("c")
        assert sight.app.clipboard == "w1"
        await sight.press("6")
        await sight.shows("whatsapp", "telegram", "all breakers closed")
