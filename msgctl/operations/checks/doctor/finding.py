"""One thing the doctor looked at: what is the matter, why it matters, and what mends it."""

from enum import StrEnum

from msgctl.domain.messages import WireStruct


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """It works, and will not for ever or not for everybody."""
    TROUBLE = "trouble"


class Finding(WireStruct, kw_only=True, frozen=True):
    """One finding."""

    check: str
    """What was looked at."""
    level: Level
    code: str
    """The name of the trouble, e.g. `queue_growing`; `ok`."""
    what: str
    why: str = ""
    mend: str = ""
    """The command that mends it."""
    fix: str = ""
    """The name of what `doctor --fix` does about it; empty: nothing."""


def fine(check: str, what: str) -> Finding:
    """Nothing is the matter."""
    return Finding(check=check, level=Level.OK, code="ok", what=what)


def warning(check: str, code: str, what: str, *, why: str, mend: str, fix: str = "") -> Finding:
    """It works, but."""
    return Finding(check=check, level=Level.WARNING, code=code, what=what, why=why, mend=mend, fix=fix)


def trouble(check: str, code: str, what: str, *, why: str, mend: str, fix: str = "") -> Finding:
    """It does not work, or messages may be lost."""
    return Finding(check=check, level=Level.TROUBLE, code=code, what=what, why=why, mend=mend, fix=fix)
