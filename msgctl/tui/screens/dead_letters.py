"""The dead letters: first by what went wrong, then one by one; replayed, dropped, edited."""

from collections.abc import AsyncIterator, Callable
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from msgctl.errors import MsgctlError
from msgctl.operations.snapshot import Snapshot
from msgctl.operations.triage import Groups, Letter
from msgctl.tui.text import count, moment
from msgctl.tui.widgets.pane import NOT_RECORDED, Pane, caption, detail
from msgctl.tui.widgets.questions import Confirmation, Rewriting
from msgctl.tui.widgets.table import HIDDEN, Heading, Row, Table

GROUPS = (
    Heading("mark", 4),
    Heading("count", 6, right=True),
    Heading("last", 8),
    Heading("channels", 12, narrow=HIDDEN),
    Heading("what went wrong", 0),
)
BATCH = 50
"""Dead letters that are replayed or dropped between two looks at the screen."""
LETTERS = (
    Heading("mark", 4),
    Heading("id", 36, narrow=13),
    Heading("at", 8),
    Heading("channel", 8),
    Heading("user", 12, narrow=HIDDEN),
    Heading("tries", 5, right=True, narrow=HIDDEN),
    Heading("error", 0),
)


class DeadLettersPane(Pane):
    """The third tab."""

    LABEL = "Dead"
    SUMMARY = "the dead letters, by what went wrong: replay, drop, edit"
    KEYS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("Enter", "open the group, then the message (on a click, too)"),
        ("x  A", "mark this one; all that are listed, or none"),
        ("R", "replay what is marked, else this one; asks first"),
        ("D", "drop for good what is marked, else this one; asks first"),
        ("e", "send this one anew in other words; the original stays"),
        ("c", "copy its id"),
        ("Esc", "back to the groups"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x,space", "mark", "Mark", key_display="x"),
        Binding("A", "mark_all", "All"),
        Binding("R", "replay", "Replay"),
        Binding("D", "drop", "Drop"),
        Binding("e", "edit", "Edit"),
    ]

    found: Groups | None = None
    opened: str | None = None
    """The signature of the group whose letters are listed; None: the groups are."""

    def compose(self) -> ComposeResult:
        """What was looked at, and one of two lists."""
        self.marked: set[str] = set()
        yield caption()
        yield Table(*GROUPS, id="groups")
        yield Table(*LETTERS, id="letters")
        yield detail()

    def on_mount(self) -> None:
        """The groups come first."""
        self.query_one("#letters").display = False

    async def look(self, snapshot: Snapshot) -> None:  # noqa: ARG002 - it has its own source
        """Group the newest, and list what is opened."""
        if self.desk.player:
            self.say(NOT_RECORDED)
            return
        self.found = await self.desk.operations.triage.look()
        self.marked &= {letter.message_id for group in self.found.groups for letter in group.letters}
        self.draw()

    def draw(self) -> None:
        """Show what is known."""
        if self.found is None:
            return
        now = self.desk.clock() * 1000
        if self.opened is None:
            self.query_one("#groups", Table).show(
                Row(group.signature, (self._mark(group.letters), *_facts(group.letters, now)))
                for group in self.found.groups
            )
        else:
            self.query_one("#letters", Table).show(
                Row(one.message_id, ("[x]" if one.message_id in self.marked else "[ ]", *_cells(one, now)))
                for one in self._letters(self.opened)
            )
        found = self.found
        older = "" if found.looked_at >= found.total else " (the older: msgctl dlq)"
        window = f"the newest {count(found.looked_at)} of {count(found.total)} dead letters{older}"
        self.say(f"{window}; {count(len(self.marked))} marked{f'; {self.opened}' if self.opened else ''}")
        self.tell_all()

    def leave(self) -> bool:
        """Esc: from the letters back to the groups, then the marks away."""
        if self.opened is None:
            marked = bool(self.marked)
            self.marked.clear()
            self.draw()
            return marked
        self._open(None)
        return True

    @on(Table.RowSelected, "#groups")
    def open_group(self, event: Table.RowSelected) -> None:
        """Enter opens a group."""
        event.stop()
        self._open(self.query_one("#groups", Table).chosen)

    def action_mark(self) -> None:
        """Mark or unmark what is under the cursor, and go on to the next."""
        under = set(self._under_cursor())
        self.marked = self.marked - under if under <= self.marked else self.marked | under
        self.draw()
        self._table().action_cursor_down()

    def action_mark_all(self) -> None:
        """Mark all that are listed; if they are, none."""
        groups = self.found.groups if self.found else []
        listed = {
            one.message_id for group in groups if self.opened in (None, group.signature) for one in group.letters
        }
        self.marked = self.marked - listed if listed <= self.marked else self.marked | listed
        self.draw()

    def action_replay(self) -> None:
        """Replay, after a question."""
        self._act("replayed", self._replay)

    def action_drop(self) -> None:
        """Drop, after a question."""
        self._act("dropped for good", self._drop)

    @work
    async def action_edit(self) -> None:
        """Send the one letter under the cursor anew in other words."""
        ids = self._under_cursor()
        if self.refuse() or not ids:
            return
        if self.opened is None:
            self.notify("Open the group first: one message is edited at a time.")
            return
        try:
            found = await self.desk.operations.messages.show(ids[0])
            text = await self.app.push_screen_wait(Rewriting(ids[0], found["message"]))
            if text is None:
                return
            edition = await self.desk.operations.dead_letters.edit(ids[0], text)
            await self.desk.note("dlq edit", ids, after=edition.message_id)
        except MsgctlError as error:
            self.notify(error.message, severity="error", markup=False)
            return
        self.notify(f"Sent anew as {edition.message_id}; the original stays.", markup=False)
        await self._look_again()

    @work
    async def _act(self, done: str, act: Callable[[list[str]], AsyncIterator[str]]) -> None:
        """Ask, then do it to each; what succeeded is unmarked as it goes, so that a second try repeats nothing."""
        ids = [*self.marked] or self._under_cursor()
        if self.refuse() or not ids:
            return
        plural = "dead letter" if len(ids) == 1 else "dead letters"
        if not await self.app.push_screen_wait(Confirmation(f"{count(len(ids))} {plural} will be {done}. Go on?")):
            return
        succeeded = 0
        try:
            for start in range(0, len(ids), BATCH):
                async for message_id in act(ids[start : start + BATCH]):
                    succeeded += 1
                    self.marked.discard(message_id)
                self.draw()
        except MsgctlError as error:
            self.notify(error.message, severity="error", markup=False)
        self.notify(f"{count(succeeded)} of {count(len(ids))} {done}.")
        await self._look_again()

    async def _replay(self, ids: list[str]) -> AsyncIterator[str]:
        """Replay these, and name those that were."""
        done = [
            one.message_id
            async for one in self.desk.operations.dead_letters.replay(ids)
            if one.outcome == "replayed"
        ]
        await self.desk.note("dlq replay", done, before="failed", after="waiting")
        for message_id in done:
            self.desk.operations.triage.forget(message_id)
            yield message_id

    async def _drop(self, ids: list[str]) -> AsyncIterator[str]:
        """Drop these, and name those that are gone."""
        done = [
            message_id
            for message_id, gone in (await self.desk.operations.dead_letters.drop_many(ids)).items()
            if gone
        ]
        await self.desk.note("dlq drop", done)
        for message_id in done:
            yield message_id

    async def _look_again(self) -> None:
        try:
            self.found = await self.desk.operations.triage.look()
        except MsgctlError:
            return  # the banner says so at the next look
        self.draw()

    def _open(self, signature: str | None) -> None:
        self.opened = signature
        self.query_one("#groups").display = signature is None
        self.query_one("#letters").display = signature is not None
        self.draw()
        self.screen.set_focus(self._table())

    def _table(self) -> Table:
        return self.query_one("#groups" if self.opened is None else "#letters", Table)

    def _letters(self, signature: str) -> list[Letter]:
        groups = self.found.groups if self.found else []
        return next((group.letters for group in groups if group.signature == signature), [])

    def _under_cursor(self) -> list[str]:
        chosen = self._table().chosen
        if chosen is None:
            return []
        return [chosen] if self.opened else [letter.message_id for letter in self._letters(chosen)]

    def _mark(self, letters: list[Letter]) -> str:
        marked = sum(letter.message_id in self.marked for letter in letters)
        return "[x]" if marked == len(letters) else "[-]" if marked else "[ ]"


def _facts(letters: list[Letter], now: float) -> tuple[str, str, str, str]:
    channels = ",".join(sorted({letter.channel for letter in letters}))
    last = max(letter.at for letter in letters)
    return count(len(letters)), moment(last, now), channels, letters[0].signature


def _cells(letter: Letter, now: float) -> tuple[object, ...]:
    error = f"{letter.code}: {letter.text}"
    at = moment(letter.at, now)
    return letter.message_id, at, letter.channel, letter.user_id, letter.attempts, error
