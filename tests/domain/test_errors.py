"""The tree of errors that the docstring of `errors` draws, compared with the classes."""

import re

from msgctl.domain import errors
from msgctl.domain.errors import AttemptFailed, DeliveryFailed, MsgctlError

LINE = re.compile(r"^    (?P<branch>[│├└─ ]*)(?P<name>[A-Z]\w+) +(?P<rest>\S.*)$", re.MULTILINE)
COLUMNS = re.compile(r"(?:exit +)?(\d+) +(?:HTTP +)?(\d{3}) +(\w+)")


def drawn() -> list[tuple[int, str, str]]:
    """Return each line of the tree: its depth, the class, and the text after it."""
    return [(len(line["branch"]) // 4, line["name"], line["rest"]) for line in LINE.finditer(errors.__doc__ or "")]


def defined(error: type[MsgctlError] = MsgctlError, depth: int = 0) -> list[tuple[int, str]]:
    """Return the classes of `errors` with their depth, each followed by its subclasses."""
    children = [child for child in error.__subclasses__() if child.__module__ == errors.__name__]
    return [(depth, error.__name__), *(line for child in children for line in defined(child, depth + 1))]


def test_drawn_tree_has_every_class_in_its_place() -> None:
    """The tree has no missing, additional, or misplaced class."""
    assert [(depth, name) for depth, name, _ in drawn()] == defined()


def test_drawn_codes_are_those_of_the_classes() -> None:
    """Exit code, HTTP status, and code match, except for errors that never reach a shell or an HTTP client."""
    for _, name, rest in drawn():
        error = getattr(errors, name)
        if issubclass(error, AttemptFailed | DeliveryFailed):
            continue
        columns = COLUMNS.fullmatch(rest)
        assert columns, (name, rest)
        assert columns.groups() == (str(error.exit_code), str(error.http_status), error.code), name
