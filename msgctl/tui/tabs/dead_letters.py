"""The dead letters, in groups and one by one, to replay, drop, or edit."""

from collections.abc import AsyncIterator, Callable
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from msgctl.domain.errors import MsgctlError
from msgctl.operations.dashboard.snapshot import Snapshot
from msgctl.operations.dead_letters.groups import DeadLetterGroup, DeadLetterGrouper, NewestDeadLetters
from msgctl.operations.dead_letters.letters import DeadLetters
from msgctl.operations.messages.lookup import Messages
from msgctl.operations.messages.search import Summary
from msgctl.tui.formatting import format_count, format_moment
from msgctl.tui.widgets.dialogs import ConfirmDialog, EditDialog
from msgctl.tui.widgets.tab_pane import NOT_RECORDED, Pane, make_caption, make_detail
from msgctl.tui.widgets.table import HIDDEN_WIDTH, ColumnHeading, Table, TableRow

GROUP_HEADINGS = (
    ColumnHeading("mark", 4),
    ColumnHeading("count", 6, right=True),
    ColumnHeading("last", 8),
    ColumnHeading("channels", 12, narrow=HIDDEN_WIDTH),
    ColumnHeading("what went wrong", 0),
)
ACTION_BATCH_SIZE = 50
"""Dead letters that are replayed or dropped between two updates of the screen."""
LETTER_HEADINGS = (
    ColumnHeading("mark", 4),
    ColumnHeading("id", 36, narrow=13),
    ColumnHeading("at", 8),
    ColumnHeading("channel", 8),
    ColumnHeading("user", 12, narrow=HIDDEN_WIDTH),
    ColumnHeading("tries", 5, right=True, narrow=HIDDEN_WIDTH),
    ColumnHeading("error", 0),
)


class DeadLettersPane(Pane):
    """The third tab."""

    LABEL = "Dead"
    SUMMARY = "the dead letters by error: replay, drop, edit"
    KEYS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("Enter", "open the group, then the message (or click it)"),
        ("x  A", "mark this one; mark all or none"),
        ("R", "replay the marked ones, else this one; asks first"),
        ("D", "delete the marked ones, else this one; asks first"),
        ("e", "send an edited copy; the original stays"),
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

    found: NewestDeadLetters | None = None
    opened_signature: str | None = None
    """The signature of the group whose dead letters are listed. None lists the groups."""

    def compose(self) -> ComposeResult:
        """Compose the caption, and the tables of groups and dead letters."""
        self.marked: set[str] = set()
        yield make_caption()
        yield Table(*GROUP_HEADINGS, id="groups")
        yield Table(*LETTER_HEADINGS, id="letters")
        yield make_detail()

    def on_mount(self) -> None:
        """Show the groups first."""
        self.query_one("#letters").display = False

    async def refresh_data(self, snapshot: Snapshot) -> None:  # noqa: ARG002 - it has its own source
        """Group the newest dead letters, and list those of the open group."""
        if self.dashboard_context.player:
            self.set_caption(NOT_RECORDED)
            return
        self.found = await self.dashboard_context.context.get(DeadLetterGrouper).group_newest()
        self.marked &= {letter.message_id for letters in self.found.letters.values() for letter in letters}
        self.show_groups()

    def show_groups(self) -> None:
        """Show the groups and the open group."""
        if self.found is None:
            return
        now = self.dashboard_context.clock() * 1000
        if self.opened_signature is None:
            self.query_one("#groups", Table).show_rows(
                TableRow(
                    group.signature,
                    (self._mark_symbol(self._letters(group.signature)), *_group_cells(group, now)),
                )
                for group in self.found.groups
            )
        else:
            self.query_one("#letters", Table).show_rows(
                TableRow(
                    one.message_id, ("[x]" if one.message_id in self.marked else "[ ]", *_letter_cells(one, now))
                )
                for one in self._letters(self.opened_signature)
            )
        found = self.found
        older = "" if found.looked_at >= found.total else " (the older: msgctl dlq)"
        window = f"the newest {format_count(found.looked_at)} of {format_count(found.total)} dead letters{older}"
        opened = f"; {self.opened_signature}" if self.opened_signature else ""
        self.set_caption(f"{window}; {format_count(len(self.marked))} marked{opened}")
        self.show_details()

    def go_back(self) -> bool:
        """Handle Esc: return to the groups, or clear the marks."""
        if self.opened_signature is None:
            marked = bool(self.marked)
            self.marked.clear()
            self.show_groups()
            return marked
        self._open_group(None)
        return True

    @on(Table.RowSelected, "#groups")
    def open_group(self, event: Table.RowSelected) -> None:
        """Open the group that was selected."""
        event.stop()
        self._open_group(self.query_one("#groups", Table).selected_key)

    def action_mark(self) -> None:
        """Mark or unmark the row under the cursor, and go to the next."""
        under = set(self._selected_ids())
        self.marked = self.marked - under if under <= self.marked else self.marked | under
        self.show_groups()
        self._active_table().action_cursor_down()

    def action_mark_all(self) -> None:
        """Mark all listed rows, or unmark them if all are marked."""
        listed = {
            letter.message_id
            for signature, letters in (self.found.letters if self.found else {}).items()
            if self.opened_signature in (None, signature)
            for letter in letters
        }
        self.marked = self.marked - listed if listed <= self.marked else self.marked | listed
        self.show_groups()

    def action_replay(self) -> None:
        """Replay the chosen dead letters, after a confirmation."""
        self._confirm_and_run("replayed", self._replay)

    def action_drop(self) -> None:
        """Drop the chosen dead letters, after a confirmation."""
        self._confirm_and_run("dropped for good", self._drop)

    @work
    async def action_edit(self) -> None:
        """Send an edited copy of the dead letter under the cursor."""
        ids = self._selected_ids()
        if self.refuse_if_read_only() or not ids:
            return
        if self.opened_signature is None:
            self.notify("Open the group first: one message is edited at a time.")
            return
        try:
            found = await self.dashboard_context.context.get(Messages).show(ids[0])
            text = await self.app.push_screen_wait(EditDialog(ids[0], found["message"]))
            if text is None:
                return
            edition = await self.dashboard_context.context.get(DeadLetters).edit(ids[0], text)
            await self.dashboard_context.record_action("dlq edit", ids, after=edition.message_id)
        except MsgctlError as error:
            self.notify(error.message, severity="error", markup=False)
            return
        self.notify(f"Sent as {edition.message_id}; the original stays.", markup=False)
        await self._reload()

    @work
    async def _confirm_and_run(self, done: str, act: Callable[[list[str]], AsyncIterator[str]]) -> None:
        """Run an action after a confirmation. Each success is unmarked, so a second try does not repeat it."""
        ids = [*self.marked] or self._selected_ids()
        if self.refuse_if_read_only() or not ids:
            return
        plural = "dead letter" if len(ids) == 1 else "dead letters"
        if not await self.app.push_screen_wait(
            ConfirmDialog(f"{format_count(len(ids))} {plural} will be {done}. Continue?")
        ):
            return
        succeeded = 0
        try:
            for start in range(0, len(ids), ACTION_BATCH_SIZE):
                async for message_id in act(ids[start : start + ACTION_BATCH_SIZE]):
                    succeeded += 1
                    self.marked.discard(message_id)
                self.show_groups()
        except MsgctlError as error:
            self.notify(error.message, severity="error", markup=False)
        self.notify(f"{format_count(succeeded)} of {format_count(len(ids))} {done}.")
        await self._reload()

    async def _replay(self, ids: list[str]) -> AsyncIterator[str]:
        """Replay dead letters, and return the ids that were replayed."""
        done = [
            one.message_id
            async for one in self.dashboard_context.context.get(DeadLetters).replay(ids)
            if one.outcome == "replayed"
        ]
        await self.dashboard_context.record_action("dlq replay", done, before="failed", after="waiting")
        for message_id in done:
            self.dashboard_context.context.get(DeadLetterGrouper).forget(message_id)
            yield message_id

    async def _drop(self, ids: list[str]) -> AsyncIterator[str]:
        """Drop dead letters, and return the ids that were dropped."""
        done = [
            message_id
            for message_id, gone in (await self.dashboard_context.context.get(DeadLetters).drop_many(ids)).items()
            if gone
        ]
        await self.dashboard_context.record_action("dlq drop", done)
        for message_id in done:
            yield message_id

    async def _reload(self) -> None:
        try:
            self.found = await self.dashboard_context.context.get(DeadLetterGrouper).group_newest()
        except MsgctlError:
            return  # the banner shows it at the next refresh
        self.show_groups()

    def _open_group(self, signature: str | None) -> None:
        self.opened_signature = signature
        self.query_one("#groups").display = signature is None
        self.query_one("#letters").display = signature is not None
        self.show_groups()
        self.screen.set_focus(self._active_table())

    def _active_table(self) -> Table:
        return self.query_one("#groups" if self.opened_signature is None else "#letters", Table)

    def _letters(self, signature: str) -> list[Summary]:
        return self.found.letters.get(signature, []) if self.found else []

    def _selected_ids(self) -> list[str]:
        chosen = self._active_table().selected_key
        if chosen is None:
            return []
        return [chosen] if self.opened_signature else [letter.message_id for letter in self._letters(chosen)]

    def _mark_symbol(self, letters: list[Summary]) -> str:
        marked = sum(letter.message_id in self.marked for letter in letters)
        return "[x]" if marked == len(letters) else "[-]" if marked else "[ ]"


def _group_cells(group: DeadLetterGroup, now: float) -> tuple[str, str, str, str]:
    channels = ",".join(group.channels)
    return format_count(group.count), format_moment(group.last_seen, now), channels, group.signature


def _letter_cells(letter: Summary, now: float) -> tuple[object, ...]:
    known = letter.error or {}
    error = f"{known.get('code', 'unknown')}: {known.get('text', '')}"
    at = format_moment(letter.at, now)
    return letter.message_id, at, letter.channel, letter.user_id, letter.attempts, error
