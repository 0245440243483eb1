"""The dashboard itself: tabs, keys, and one look each interval that heals by itself when Redis was away."""

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

from msgctl.errors import InvalidInput, MsgctlError
from msgctl.operations.pulse import Pulse
from msgctl.operations.snapshot import Snapshot
from msgctl.tui.commands import run_command
from msgctl.tui.desk import Desk
from msgctl.tui.screens.channels import ChannelsPane
from msgctl.tui.screens.dead_letters import DeadLettersPane
from msgctl.tui.screens.deliveries import DeliveriesPane
from msgctl.tui.screens.events import EventsPane
from msgctl.tui.screens.help import HelpScreen
from msgctl.tui.screens.logs import LogsPane, message_of
from msgctl.tui.screens.message import MessageScreen
from msgctl.tui.screens.messages import MessagesPane
from msgctl.tui.screens.overview import OverviewPane
from msgctl.tui.screens.workers import WorkersPane
from msgctl.tui.tape import Recorder
from msgctl.tui.widgets.masthead import Banner, Masthead
from msgctl.tui.widgets.pane import Pane
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
FILTERS = {"priorities": "priority", "channels": "channel"}
"""Tables whose rows stand for many messages, and the filter's word that finds them."""
PULSE_EVERY = 10.0
"""Seconds between two questions to PostgreSQL."""
LEAST_INTERVAL, LONGEST_INTERVAL = 0.5, 3600.0


class Dashboard(App[None]):
    """The whole.

    Args:
        desk: what is looked at, and by which rules.
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

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.frozen = False
        self._looking = False
        self._feeling = False
        self._making = asyncio.Lock()
        self._snapshot: Snapshot | None = None
        self._last_good: float | None = None
        self._redis_trouble: str | None = None
        self._postgres_trouble: str | None = None
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        """Masthead, banner, tabs, the tabs' contents, keys."""
        yield Masthead(self.desk)
        yield Banner()
        yield Tabs(*(Tab(f"{n} {pane.LABEL}", id=name) for n, (name, pane) in enumerate(PANES.items(), 1)))
        with ContentSwitcher(initial="pane-overview"):
            yield OverviewPane(self.desk, id="pane-overview")
        yield Input(placeholder="a tab's name, id ID, filter WORDS, interval 5, theme light, q", id="command")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Look at once, and then each interval."""
        self.query_one("#command").display = False
        self.query_one(Tabs).can_focus = False
        self.set_pace(self.desk.interval)
        self.action_look()
        self.pane.focus_first()

    @property
    def pane(self) -> Pane:
        """The tab on the screen."""
        return self.query_one(f"#{self.query_one(ContentSwitcher).current}", Pane)

    def tab_called(self, word: str) -> str | None:
        """The tab whose name begins with a word, if there is just one."""
        matching = [name for name in PANES if word and name.startswith(word.lower())]
        return matching[0] if len(matching) == 1 else None

    def show_tab(self, name: str) -> None:
        """Go to a tab."""
        self.query_one(Tabs).active = name

    @on(Tabs.TabActivated)
    async def switch(self, event: Tabs.TabActivated) -> None:
        """A tab was chosen with the mouse, or by a command; one that was left since has come too late."""
        if event.tab.id == event.tabs.active:
            await self._go_to(str(event.tab.id))

    async def _go_to(self, name: str) -> None:
        """Show a tab and give it the focus."""
        pane = await self._pane_called(name)
        switcher = self.query_one(ContentSwitcher)
        if switcher.current != pane.id:
            switcher.current = pane.id
            pane.focus_first()
            self.action_look()
        self.show_tab(name)

    async def _pane_called(self, name: str) -> Pane:
        """A tab's content, made when it is first wanted: the first screen need not wait for all eight."""
        switcher = self.query_one(ContentSwitcher)
        async with self._making:
            if not switcher.query(f"#pane-{name}"):
                await switcher.add_content(PANES[name](self.desk, id=f"pane-{name}"))
        return switcher.query_one(f"#pane-{name}", Pane)

    def set_pace(self, seconds: float) -> None:
        """Look each so many seconds, within reason."""
        self.desk.interval = min(LONGEST_INTERVAL, max(LEAST_INTERVAL, seconds))
        if self._timer:
            self._timer.stop()
        self._timer = self.set_interval(self.desk.interval, self._tick)

    def _tick(self) -> None:
        if not self.frozen and not isinstance(self.screen, MessageScreen):
            if self.desk.player:
                self.desk.player.step(1)
            self.action_look()

    def action_look(self) -> None:
        """Look now, unless a look is under way."""
        if not self._looking:
            self._looking = True
            self.run_worker(self._look())

    async def _look(self) -> None:
        try:
            player = self.desk.player
            snapshot = player.current() if player else await self.desk.operations.overview.read()
            self.query_one(Masthead).draw(snapshot, frozen=self.frozen)
            await self.pane.look(snapshot)
            self.pane.tell_all()
        except MsgctlError as error:
            self._redis_trouble = error.message
        except NoMatches:
            if self.query(Masthead):
                raise
            return  # the screen was taken down meanwhile
        else:
            self._snapshot, self._last_good, self._redis_trouble = snapshot, self.desk.clock(), None
            if self.desk.recorder:
                await self._record(self.desk.recorder, snapshot)
        finally:
            self._looking = False
        self._tell_troubles()
        if self.desk.pulse and not self._feeling:  # from now on: the first screen comes first
            self._feeling = True
            self.set_interval(PULSE_EVERY, partial(self.feel, self.desk.pulse))
            self.run_worker(self.feel(self.desk.pulse))

    async def _record(self, recorder: Recorder, snapshot: Snapshot) -> None:
        try:
            await recorder.keep(snapshot)
        except OSError as error:
            self.desk.recorder = None
            self.notify(f"The recording ends: {error.strerror}.", severity="error", markup=False)

    async def feel(self, pulse: Pulse) -> None:
        """Ask PostgreSQL for a sign of life."""
        self._postgres_trouble = await pulse.trouble()
        self._tell_troubles()

    def _tell_troubles(self) -> None:
        troubles = [trouble for trouble in (self._redis_trouble, self._postgres_trouble) if trouble]
        for banner in self.query(Banner):  # none, once the screen is taken down
            banner.tell(troubles, last_good=self._last_good, now=self.desk.clock())

    async def action_tab(self, place: int) -> None:
        """A number is a tab."""
        await self._go_to(list(PANES)[place - 1])

    async def action_next_tab(self, step: int) -> None:
        """Left and Right walk through the tabs, and begin anew at either end."""
        names = list(PANES)
        here = names.index(str(self.pane.id).removeprefix("pane-"))
        await self._go_to(names[(here + step) % len(names)])

    def action_help(self) -> None:
        """Help on this tab."""
        self.push_screen(HelpScreen(self.pane))

    def action_freeze(self) -> None:
        """Freeze the picture, or go on looking."""
        self.frozen = not self.frozen
        if self._snapshot:
            self.query_one(Masthead).draw(self._snapshot, frozen=self.frozen)

    def action_out(self) -> None:
        """Esc: the command line, then the tab's own level."""
        command = self.query_one("#command", Input)
        if command.display:
            command.display = False
            self.pane.focus_first()
        elif not self.pane.leave():
            self.pane.focus_first()
        self.action_look()

    def action_copy(self) -> None:
        """Copy what the cursor is on."""
        table = self.focused
        if isinstance(table, Table) and table.chosen:
            two = self.pane.id in {"pane-deliveries", "pane-events"}  # an entry, and the message's id
            self.copy_to_clipboard(table.chosen.split()[-1] if two else table.chosen)
            self.notify("Copied.")

    def action_wind(self, count: int) -> None:
        """Move within a recording."""
        if self.desk.player:
            self.desk.player.step(count)
            self.action_look()

    def action_command(self) -> None:
        """Ask for a command."""
        command = self.query_one("#command", Input)
        command.value = ""
        command.display = True
        self.screen.set_focus(command)  # at once: what is typed next belongs to it

    @on(Input.Submitted, "#command")
    def do_command(self, event: Input.Submitted) -> None:
        """Enter in the command line."""
        self.query_one("#command").display = False
        self.pane.focus_first()
        try:
            run_command(self, event.value)
        except InvalidInput as error:
            self.notify(error.message, severity="warning", markup=False)

    @on(DataTable.RowSelected)
    def open_row(self, event: DataTable.RowSelected) -> None:
        """Enter, or a click on the row of the cursor, opens the message it is about, or the messages."""
        chosen = event.data_table.chosen if isinstance(event.data_table, Table) else None
        if not chosen or self.desk.player:
            return
        if event.data_table.id in FILTERS:
            self.filter_messages(f"{FILTERS[event.data_table.id]}:{chosen}")
        elif self.pane.id == "pane-logs":
            self.open_message(message_of(chosen))
        elif self.pane.id in {"pane-messages", "pane-dead", "pane-deliveries", "pane-events"}:
            self.open_message(chosen.split()[-1])

    def open_message(self, message_id: str) -> None:
        """Open a message above the tabs."""
        if message_id and self.desk.player is None:
            self.push_screen(MessageScreen(self.desk, message_id))

    def filter_messages(self, words: str) -> None:
        """Go to the messages that answer to these words."""
        self.run_worker(self._filter_messages(words))

    async def _filter_messages(self, words: str) -> None:
        await self._pane_called("messages")
        self.query_one(MessagesPane).filter_by(words)
        await self._go_to("messages")
        self.action_look()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """What the palette offers: the tabs, ours, and Textual's own."""
        for name, pane in PANES.items():
            yield SystemCommand(f"Go to {pane.LABEL}", pane.SUMMARY, lambda name=name: self.show_tab(name))
        yield SystemCommand("Freeze or go on", "the picture; the queue works on", self.action_freeze)
        yield SystemCommand("Light or dark", "the theme", lambda: run_command(self, "theme"))
        yield from super().get_system_commands(screen)
