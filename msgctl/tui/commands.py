"""The commands of the `:` command line and of the palette."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgctl.domain.errors import InvalidInput
from msgctl.domain.times import parse_duration

if TYPE_CHECKING:
    from msgctl.tui.app import Dashboard

THEMES = {"dark": "textual-dark", "light": "textual-light"}


def run_command(app: "Dashboard", text: str) -> None:
    """Run a command that was typed after the colon.

    Raises:
        InvalidInput: the command does not exist.
    """
    word, _, rest = text.strip().partition(" ")
    rest = rest.strip()
    if word in _COMMANDS:
        _COMMANDS[word](app, rest)
        return
    tab = app.find_tab(word)
    if not tab:
        known = ", ".join(sorted(_COMMANDS))
        raise InvalidInput(f"There is no command {word!r}; there are the names of the tabs, and {known}.")
    app.show_tab(tab)


def _id(app: "Dashboard", rest: str) -> None:
    if not rest:
        raise InvalidInput("Give a message: id MESSAGE-ID")
    app.open_message(rest)


def _interval(app: "Dashboard", rest: str) -> None:
    try:
        app.set_refresh_interval(parse_duration(rest))
    except InvalidInput:
        raise InvalidInput("Give a number of seconds: interval 5") from None


def _theme(app: "Dashboard", rest: str) -> None:
    """Switch to a theme, or without a name from light to dark or back."""
    dark = app.current_theme.dark
    app.theme = THEMES.get(rest, THEMES["light" if dark else "dark"])


def _at(app: "Dashboard", rest: str) -> None:
    if app.dashboard_context.player is None:
        raise InvalidInput("This works in a recording only: msgctl dash --replay FILE")
    app.dashboard_context.player.seek(rest)
    app.action_look()


_COMMANDS: dict[str, Callable[["Dashboard", str], None]] = {
    "id": _id,
    "filter": lambda app, rest: app.filter_messages(rest),
    "interval": _interval,
    "theme": _theme,
    "at": _at,
    "freeze": lambda app, _: app.action_freeze(),
    "q": lambda app, _: app.exit(),
    "quit": lambda app, _: app.exit(),
}
