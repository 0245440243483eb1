"""Keys, commands, palette, and mouse, as they work on each tab."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.dom import DOMNode
from textual.widgets import Static

from msgctl.tui.app import PANES, Dashboard
from msgctl.tui.context import DashboardContext
from msgctl.tui.screens.help import MEANING_INDENT, HelpScreen
from msgctl.tui.screens.message import MessageScreen
from msgctl.tui.widgets.dialogs import ConfirmDialog, EditDialog
from msgctl.tui.widgets.table import Table
from tests.support.dashboard import NAMED, looking
from tests.support.messages import Traffic
from tools.support.daemons import until


async def test_tabs_open_by_number_arrow_and_mouse(desk: DashboardContext) -> None:
    """1 to 8, a click on the name, and left and right, which wrap around."""
    async with looking(desk, (80, 24)) as sight:
        for place, name in enumerate(PANES, 1):
            await sight.press(str(place))
            await until(lambda name=name: sight.app.pane.id == f"pane-{name}", name)
        await until(lambda: sight.pilot.click("#dead"), "the tab to be clicked")
        await until(lambda: sight.app.pane.id == "pane-dead", "the clicked tab")
        for key, name in (
            ("left", "messages"),
            ("h", "overview"),
            ("h", "logs"),
            ("l", "overview"),
            ("right", "messages"),
        ):
            await sight.press(key)
            await until(lambda name=name: sight.app.pane.id == f"pane-{name}", f"{name} by {key}")


@pytest.mark.parametrize("name", PANES)
async def test_help_lists_keys_of_the_tab(desk: DashboardContext, name: str) -> None:
    """And the keys that work everywhere."""
    async with looking(desk) as sight:
        sight.app.show_tab(name)
        await until(lambda: sight.app.pane.id == f"pane-{name}", name)
        await sight.press("question_mark")
        await sight.shows(PANES[name].LABEL.upper(), PANES[name].KEYS[0][1][:30], "EVERYWHERE")
        await sight.press("escape")
        await sight.hides("EVERYWHERE")


@pytest.mark.parametrize("name", PANES)
async def test_help_aligns_names_and_meanings(desk: DashboardContext, name: str) -> None:
    """Continuation lines are below the meaning, at 80x24 too."""
    pane = PANES[name]
    async with looking(desk, (80, 24)) as sight:
        sight.app.show_tab(name)
        await until(lambda: sight.app.pane.id == f"pane-{name}", name)
        await sight.press("question_mark")
        await sight.shows(pane.KEYS[0][1][:30])
        screen = sight.app.screen
        width = screen.query_one(VerticalScroll).scrollable_content_region.width
        assert str(screen.query_one("#keys", Static).content).splitlines(), "drawn"
        for line in str(screen.query_one("#keys", Static).content).splitlines():
            assert len(line) <= width
            assert not line.startswith("  ") or line[MEANING_INDENT - 1] == " " != line[MEANING_INDENT], line


async def test_freeze_stops_refreshes(desk: DashboardContext, traffic: Traffic) -> None:
    """Key p freezes the screen, r refreshes once, p continues."""
    async with looking(desk) as sight:
        await sight.shows("waiting 0")
        await sight.press("p")
        await sight.shows("FROZEN (p)")
        await traffic.waiting("w1")
        await sight.pilot.pause(1.2)
        assert "waiting 0" in sight.text
        await sight.press("r")
        await sight.shows("waiting 1")
        await sight.press("p")
        await sight.hides("FROZEN")


async def test_commands_are_run_or_refused(desk: DashboardContext, traffic: Traffic) -> None:
    """A tab, a message, a filter, an interval, and a theme. An unknown command shows an error."""
    await traffic.waiting("w1")
    async with looking(desk) as sight:
        for typed, shown in (
            ("work", "0 alive"),
            ("filter user:nobody", "0 shown"),
            ("interval 1", "every 1 s"),
            ("interval soon", "Give a number of seconds"),
            ("dance", "There is no command 'dance'"),
            ("at 03:12", "This works in a recording"),
            ("id w1", "state WAITING"),
        ):
            await sight.press("colon", *(NAMED.get(character, character) for character in typed))
            await sight.shows(f"\n {typed}")
            await sight.press("enter")
            await sight.shows(shown)
        await sight.press("escape", "colon")
        await sight.type("theme light")
        await until(lambda: not sight.app.current_theme.dark, "the light theme")
        await sight.press("colon", "escape")
        assert not sight.app.query_one("#command").display


async def test_palette_finds_tabs(desk: DashboardContext) -> None:
    """Ctrl-P opens it."""
    async with looking(desk) as sight:
        await sight.press("ctrl+p", *"channels")
        await sight.shows("Go to Channels")
        await sight.press("enter")
        await until(lambda: sight.app.pane.id == "pane-channels", "the tab")


async def test_q_exits_dashboard(desk: DashboardContext) -> None:
    """The program ends."""
    async with looking(desk) as sight:
        await sight.press("q")
        await until(lambda: not sight.app.is_running, "the end")


async def test_logs_tab_follows_file(desk: DashboardContext, tmp_path: Path) -> None:
    """Without a file, it says where the log is."""
    async with looking(desk) as sight:
        await sight.press("8")
        await sight.shows("journalctl")
        logs = desk.settings.logs.model_copy(update={"directory": str(tmp_path)})
        desk.settings = desk.settings.model_copy(update={"logs": logs})
        await sight.shows("No such file or directory")
        (tmp_path / "combined.log").write_text("first\nsecond \x1b[31m[b]\n")
        await sight.shows("the last 2 lines of", "second ?[31m[b]")


async def test_logs_tab_aligns_text_lines(desk: DashboardContext, tmp_path: Path) -> None:
    """A line of the text format has the same columns as one of JSON."""
    at = "2026-01-01T03:12:00.123456Z [error    ] "
    (tmp_path / "combined.log").write_text(
        f"{at}Job failed                     code=n8n_rejected daemon=worker error='no way' messageId=w1\n"
        f"{at}A daemon that says a long sentence here daemon=gateway\n{at}Alone\n"
    )
    logs = desk.settings.logs.model_copy(update={"directory": str(tmp_path)})
    desk.settings = desk.settings.model_copy(update={"logs": logs})
    async with looking(desk) as sight:
        await sight.press("8")
        await sight.shows(
            "03:12:00.123", "ERROR", "worker", "Job failed  code=n8n_rejected", "a long sentence", "Alone"
        )


async def test_logs_tab_aligns_json_lines(desk: DashboardContext, tmp_path: Path, traffic: Traffic) -> None:
    """Warnings and errors are in capitals. c copies the line, Enter opens its message."""
    await traffic.waiting("w1")
    facts = {"timestamp": "2026-01-01T03:12:00.123456Z", "level": "error", "daemon": "worker", "messageId": "w1"}
    text = json.dumps({**facts, "event": "Job failed", "code": "n8n_rejected"})
    (tmp_path / "combined.log").write_text(f"{text}\n")
    logs = desk.settings.logs.model_copy(update={"directory": str(tmp_path)})
    desk.settings = desk.settings.model_copy(update={"logs": logs})
    async with looking(desk) as sight:
        await sight.press("8")
        await sight.shows("03:12:00.123", "ERROR", "worker", "Job failed  code=n8n_rejected", "following")
        await sight.press("c")
        assert sight.app.clipboard == text
        await sight.press("enter")
        await sight.shows("state WAITING")


async def test_workers_tab_shows_running_messages(desk: DashboardContext, traffic: Traffic) -> None:
    """The full list is below the table."""
    await traffic.staffed()
    await traffic.active("a1")
    async with looking(desk) as sight:
        await sight.press("4")
        await sight.shows("w1", "1 alive", "a1")
        await sight.press("c")
        assert sight.app.clipboard == "w1"


async def test_enter_on_priority_lists_its_messages(desk: DashboardContext, traffic: Traffic) -> None:
    """The fifth row leads to the messages of priority 5."""
    await traffic.waiting("w1")
    async with looking(desk) as sight:
        await sight.shows("waiting 1")
        await sight.press(*"jjjj", "enter")
        await sight.shows("[priority:5] 1 shown", "w1")


async def test_help_scrolls_and_closes(desk: DashboardContext) -> None:
    """Keys j and k scroll. q closes the help, not the dashboard."""
    async with looking(desk, (60, 12)) as sight:
        await sight.press("5", "question_mark")
        await sight.shows("DELIVERIES")
        await sight.press(*["j"] * 12)
        await sight.hides("DELIVERIES")
        await sight.press(*["k"] * 12)
        await sight.shows("DELIVERIES")
        await sight.press("q")
        await until(lambda: len(sight.app.screen_stack) == 1, "the tab")


class _Keys:
    """What of one place on the screen has keys, and how to get there."""

    def __init__(self, *owners: type[DOMNode], opened_by: Callable[[Dashboard], object]) -> None:
        self.owners = owners
        self.open = opened_by

    @property
    def wanted(self) -> Iterator[tuple[str, str]]:
        """Each key with its action."""
        for owner in self.owners:
            for binding in owner.BINDINGS:
                assert isinstance(binding, Binding)
                for key in binding.key.split(","):
                    yield key, binding.action


PLACES = {
    **{
        name: _Keys(Dashboard, pane, Table, opened_by=partial(Dashboard.show_tab, name=name))
        for name, pane in PANES.items()
    },
    "help": _Keys(HelpScreen, opened_by=lambda app: app.action_help()),
    "message": _Keys(MessageScreen, opened_by=lambda app: app.open_message("w1")),
    "confirmation": _Keys(ConfirmDialog, opened_by=lambda app: app.push_screen(ConfirmDialog("Continue?"))),
    "rewriting": _Keys(EditDialog, opened_by=lambda app: app.push_screen(EditDialog("w1", "hello"))),
}


@pytest.mark.parametrize("place", PLACES)
async def test_each_key_reaches_its_action(
    desk: DashboardContext, traffic: Traffic, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each binding of each screen is pressed there, and no other widget takes it."""
    await traffic.waiting("w1")
    keys, heard = PLACES[place], list[str]()

    async def hear(_app: Dashboard, action: str, *_: object, **__: object) -> bool:
        heard.append(action)
        return True

    async with looking(desk) as sight:
        keys.open(sight.app)
        expected = f"pane-{place}" if place in PANES else None
        await until(
            lambda: sight.app.pane.id == expected if expected else len(sight.app.screen_stack) == 2, "the place"
        )
        await sight.pilot.pause()
        monkeypatch.setattr(Dashboard, "run_action", hear)
        for key, action in keys.wanted:
            await sight.press(key)
            assert heard[-1:] == [action], f"{key} on {place}"
            heard.clear()


def test_each_class_with_keys_is_tested() -> None:
    """A class with bindings that no place names would escape the test above."""
    owners = {owner for keys in PLACES.values() for owner in keys.owners}
    own = {
        one for one in _descendants(DOMNode) if one.__module__.startswith("msgctl.") and "BINDINGS" in vars(one)
    }
    assert own <= owners


def _descendants(parent: type[DOMNode]) -> set[type[DOMNode]]:
    return {parent}.union(*map(_descendants, parent.__subclasses__()))
