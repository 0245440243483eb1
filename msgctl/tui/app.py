"""The dashboard application: tabs, keys, and a periodic refresh, which continues after an outage of Redis."""

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import App, ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.css.query import NoMatches
from textual.screen import Screen
from textual.widgets import ContentSwitcher, DataTable, Footer, Input, Tab, Tabs

from msgctl.domain.errors import InvalidInput, MsgctlError
from msgctl.operations.dashboard.overview import Overview
from msgctl.operations.dashboard.postgres_ping import PostgresPing
from msgctl.operations.dashboard.snapshot import Snapshot
from msgctl.tui.commands import run_command
from msgctl.tui.context import DashboardContext
from msgctl.tui.recording import SnapshotRecorder
from msgctl.tui.screens.help import HelpScreen
from msgctl.tui.screens.message import MessageScreen
from msgctl.tui.tabs.channels import ChannelsPane
from msgctl.tui.tabs.dead_letters import DeadLettersPane
from msgctl.tui.tabs.deliveries import DeliveriesPane
from msgctl.tui.tabs.events import EventsPane
from msgctl.tui.tabs.logs import LogsPane, message_id_of
from msgctl.tui.tabs.messages import MessagesPane
from msgctl.tui.tabs.overview import OverviewPane
from msgctl.tui.tabs.workers import WorkersPane
from msgctl.tui.widgets.header import ProblemBanner, StatusHeader
from msgctl.tui.widgets.tab_pane import Pane
from msgctl.tui.widgets.table import Table

if TYPE_CHECKING:
    from textual.timer import Timer

PANES: dict[str, type[Pane]] = {
    "overview": OverviewPane,
    "messages": MessagesPane,
    "dead": DeadLettersPane,
    "workers": WorkersPane,
    "deliveries": DeliveriesPane,
    "channels": ChannelsPane,
    "events": EventsPane,
    "logs": LogsPane,
}
QUERY_WORD_BY_TABLE = {"priorities": "priority", "channels": "channel"}
"""Tables whose rows stand for many messages, with the filter word that finds those messages."""
POSTGRES_PING_INTERVAL_S = 10.0
"""Seconds between two pings of PostgreSQL."""
MIN_REFRESH_INTERVAL_S, MAX_REFRESH_INTERVAL_S = 0.5, 3600.0


class Dashboard(App[None]):
    """The dashboard.

    Args:
        dashboard_context: the pipeline or recording to show, and the rules.
    """

    CSS_PATH = "dashboard.tcss"
    TITLE = "msgctl"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("colon", "command", "Cmd", key_display=":"),
        Binding("p", "freeze", "Freeze"),
        Binding("r", "look", "Look now", show=False),
        Binding("c", "copy", "Copy", show=False),
        Binding("escape", "out", "Back", show=False),
        Binding("q", "quit", "Quit"),
        *(Binding(str(place), f"tab({place})", show=False) for place in range(1, len(PANES) + 1)),
        Binding("comma", "wind(-1)", show=False),
        Binding("full_stop", "wind(1)", show=False),
        Binding("less_than_sign", "wind(-12)", show=False),
        Binding("greater_than_sign", "wind(12)", show=False),
    ]

    def __init__(self, dashboard_context: DashboardContext) -> None:
        super().__init__()
        self.dashboard_context = dashboard_context
        self.frozen = False
        self._refreshing = False
        self._pinging = False
        self._pane_lock = asyncio.Lock()
        self._snapshot: Snapshot | None = None
        self._last_good_at: float | None = None
        self._redis_problem: str | None = None
        self._postgres_problem: str | None = None
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        """Compose the header, the banner, the tabs, and the key bar."""
        yield StatusHeader(self.dashboard_context)
        yield ProblemBanner()
        yield Tabs(*(Tab(f"{n} {pane.LABEL}", id=name) for n, (name, pane) in enumerate(PANES.items(), 1)))
        with ContentSwitcher(initial="pane-overview"):
            yield OverviewPane(self.dashboard_context, id="pane-overview")
        yield Input(placeholder="a tab's name, id ID, filter WORDS, interval 5, theme light, q", id="command")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Refresh now, and then at each interval."""
        self.query_one("#command").display = False
        self.query_one(Tabs).can_focus = False
        self.set_refresh_interval(self.dashboard_context.interval_s)
        self.action_look()
        self.pane.focus_first()

    @property
    def pane(self) -> Pane:
        """Return the tab that is shown."""
        return self.query_one(f"#{self.query_one(ContentSwitcher).current}", Pane)

    def find_tab(self, word: str) -> str | None:
        """Return the tab whose name begins with a word, if exactly one does."""
        matching = [name for name in PANES if word and name.startswith(word.lower())]
        return matching[0] if len(matching) == 1 else None

    def show_tab(self, name: str) -> None:
        """Switch to a tab."""
        self.query_one(Tabs).active = name

    @on(Tabs.TabActivated)
    async def activate_tab(self, event: Tabs.TabActivated) -> None:
        """Switch to a tab that was chosen by mouse or command, unless the user has moved on since."""
        if event.tab.id == event.tabs.active:
            await self._switch_to(str(event.tab.id))

    async def _switch_to(self, name: str) -> None:
        """Show a tab and focus it."""
        pane = await self._mounted_pane(name)
        switcher = self.query_one(ContentSwitcher)
        if switcher.current != pane.id:
            switcher.current = pane.id
            pane.focus_first()
            self.action_look()
        self.show_tab(name)

    async def _mounted_pane(self, name: str) -> Pane:
        """Return the content of a tab. It is mounted on first use, to show the first screen sooner."""
        switcher = self.query_one(ContentSwitcher)
        async with self._pane_lock:
            if not switcher.query(f"#pane-{name}"):
                await switcher.add_content(PANES[name](self.dashboard_context, id=f"pane-{name}"))
        return switcher.query_one(f"#pane-{name}", Pane)

    def set_refresh_interval(self, seconds: float) -> None:
        """Set the refresh interval in seconds, within bounds."""
        self.dashboard_context.interval_s = min(MAX_REFRESH_INTERVAL_S, max(MIN_REFRESH_INTERVAL_S, seconds))
        if self._timer:
            self._timer.stop()
        self._timer = self.set_interval(self.dashboard_context.interval_s, self._tick)

    def _tick(self) -> None:
        if not self.frozen and not isinstance(self.screen, MessageScreen):
            if self.dashboard_context.player:
                self.dashboard_context.player.step(1)
            self.action_look()

    def action_look(self) -> None:
        """Refresh now, unless a refresh is in progress."""
        if not self._refreshing:
            self._refreshing = True
            self.run_worker(self._refresh_data())

    async def _refresh_data(self) -> None:
        try:
            player = self.dashboard_context.player
            snapshot = player.current() if player else await self.dashboard_context.context.get(Overview).read()
            self.query_one(StatusHeader).show_snapshot(snapshot, frozen=self.frozen)
            await self.pane.refresh_data(snapshot)
            self.pane.show_details()
        except MsgctlError as error:
            self._redis_problem = error.message
        except NoMatches:
            if self.query(StatusHeader):
                raise
            return  # the screen was closed meanwhile
        else:
            self._snapshot, self._last_good_at, self._redis_problem = (
                snapshot,
                self.dashboard_context.clock(),
                None,
            )
            if self.dashboard_context.recorder:
                await self._record(self.dashboard_context.recorder, snapshot)
        finally:
            self._refreshing = False
        self._show_problems()
        if self.dashboard_context.postgres_ping and not self._pinging:  # after the first screen
            self._pinging = True
            self.set_interval(
                POSTGRES_PING_INTERVAL_S, partial(self.ping_postgres, self.dashboard_context.postgres_ping)
            )
            self.run_worker(self.ping_postgres(self.dashboard_context.postgres_ping))

    async def _record(self, recorder: SnapshotRecorder, snapshot: Snapshot) -> None:
        try:
            await recorder.record(snapshot)
        except OSError as error:
            self.dashboard_context.recorder = None
            self.notify(f"The recording ends: {error.strerror}.", severity="error", markup=False)

    async def ping_postgres(self, pulse: PostgresPing) -> None:
        """Ping PostgreSQL."""
        self._postgres_problem = await pulse.find_problem()
        self._show_problems()

    def _show_problems(self) -> None:
        troubles = [trouble for trouble in (self._redis_problem, self._postgres_problem) if trouble]
        for banner in self.query(ProblemBanner):  # the banner is gone once the screen is closed
            banner.show_problems(troubles, last_good=self._last_good_at, now=self.dashboard_context.clock())

    async def action_tab(self, place: int) -> None:
        """Switch to the tab of a number key."""
        await self._switch_to(list(PANES)[place - 1])

    async def action_next_tab(self, step: int) -> None:
        """Switch to the next or previous tab, wrapping around at either end."""
        names = list(PANES)
        here = names.index(str(self.pane.id).removeprefix("pane-"))
        await self._switch_to(names[(here + step) % len(names)])

    def action_help(self) -> None:
        """Open the help of this tab."""
        self.push_screen(HelpScreen(self.pane))

    def action_freeze(self) -> None:
        """Freeze the screen, or continue."""
        self.frozen = not self.frozen
        if self._snapshot:
            self.query_one(StatusHeader).show_snapshot(self._snapshot, frozen=self.frozen)

    def action_out(self) -> None:
        """Handle Esc: close the command line, or go back one level in the tab."""
        command = self.query_one("#command", Input)
        if command.display:
            command.display = False
            self.pane.focus_first()
        elif not self.pane.go_back():
            self.pane.focus_first()
        self.action_look()

    def action_copy(self) -> None:
        """Copy the value under the cursor."""
        table = self.focused
        if isinstance(table, Table) and table.selected_key:
            two = self.pane.id in {"pane-deliveries", "pane-events"}  # entry and message id
            self.copy_to_clipboard(table.selected_key.split()[-1] if two else table.selected_key)
            self.notify("Copied.")

    def action_wind(self, count: int) -> None:
        """Move within a recording."""
        if self.dashboard_context.player:
            self.dashboard_context.player.step(count)
            self.action_look()

    def action_command(self) -> None:
        """Open the command line."""
        command = self.query_one("#command", Input)
        command.value = ""
        command.display = True
        self.screen.set_focus(command)  # immediately, because the next key belongs to it

    @on(Input.Submitted, "#command")
    def submit_command(self, event: Input.Submitted) -> None:
        """Run the command that was entered."""
        self.query_one("#command").display = False
        self.pane.focus_first()
        try:
            run_command(self, event.value)
        except InvalidInput as error:
            self.notify(error.message, severity="warning", markup=False)

    @on(DataTable.RowSelected)
    def open_row(self, event: DataTable.RowSelected) -> None:
        """Open the message of a row, or list the messages of a row that stands for many."""
        chosen = event.data_table.selected_key if isinstance(event.data_table, Table) else None
        if not chosen or self.dashboard_context.player:
            return
        if event.data_table.id in QUERY_WORD_BY_TABLE:
            self.filter_messages(f"{QUERY_WORD_BY_TABLE[event.data_table.id]}:{chosen}")
        elif self.pane.id == "pane-logs":
            self.open_message(message_id_of(chosen))
        elif self.pane.id in {"pane-messages", "pane-dead", "pane-deliveries", "pane-events"}:
            self.open_message(chosen.split()[-1])

    def open_message(self, message_id: str) -> None:
        """Open the screen of a message."""
        if message_id and self.dashboard_context.player is None:
            self.push_screen(MessageScreen(self.dashboard_context, message_id))

    def filter_messages(self, words: str) -> None:
        """Show the messages that match a filter."""
        self.run_worker(self._filter_messages(words))

    async def _filter_messages(self, words: str) -> None:
        await self._mounted_pane("messages")
        self.query_one(MessagesPane).filter_by(words)
        await self._switch_to("messages")
        self.action_look()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Yield the entries of the command palette: the tabs, our commands, and Textual's own."""
        for name, pane in PANES.items():
            yield SystemCommand(f"Go to {pane.LABEL}", pane.SUMMARY, lambda name=name: self.show_tab(name))
        yield SystemCommand("Freeze or continue", "the screen; the pipeline continues", self.action_freeze)
        yield SystemCommand("Light or dark", "the theme", lambda: run_command(self, "theme"))
        yield from super().get_system_commands(screen)
