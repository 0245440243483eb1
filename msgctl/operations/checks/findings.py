"""The finding: one result of a check, and the JSON form that each command gives it."""

from enum import StrEnum

import msgspec

from msgctl.domain.messages import WireStruct


class Severity(StrEnum):
    """How severe a finding is."""

    OK = "ok"
    WARNING = "warning"
    """It works, but not for long or not for everybody."""
    TROUBLE = "trouble"
    """It does not work, or messages may be lost."""


class Finding(msgspec.Struct, kw_only=True, frozen=True):
    """One result of a check. Each command prints it in a JSON form of its own."""

    code: str
    """The name of the trouble, for example `queue_growing`; `ok`; or the invariant, `I1` to `I7`."""
    text: str
    severity: Severity = Severity.TROUBLE
    subject: str = ""
    """What was checked, or the id of the message, conversation, run, or key."""
    impact: str = ""
    """Why it matters."""
    remedy: str = ""
    """Commands or steps that fix it, separated by semicolons."""
    fix: str = ""
    """The name of what `doctor --fix` does about it. Empty: nothing."""

    def to_reason(self) -> "Reason":
        """Return its form in a health report and in `message why`."""
        return Reason(code=self.code, message=f"{self.text} {self.remedy}".rstrip())

    def to_diagnosis(self) -> dict[str, str]:
        """Return its form in `msgctl.diagnosis/1`."""
        return {
            "check": self.subject,
            "level": str(self.severity),
            "code": self.code,
            "what": self.text,
            "why": self.impact,
            "mend": self.remedy,
            "fix": self.fix,
        }

    def to_violation(self) -> dict[str, str]:
        """Return its form in `msgctl.verdict/1`."""
        return {"invariant": self.code, "subject": self.subject, "problem": self.text}


class Reason(WireStruct, kw_only=True, frozen=True):
    """The JSON form of a finding in a health report. OpenAPI has a component of this name."""

    code: str
    message: str


def passed(subject: str, text: str) -> Finding:
    """Return the finding of a check that found no trouble."""
    return Finding(subject=subject, severity=Severity.OK, code="ok", text=text)


def warning(subject: str, code: str, text: str, *, impact: str, remedy: str, fix: str = "") -> Finding:
    """Return a finding about something that works, but not for long or not for everybody."""
    return Finding(
        subject=subject, severity=Severity.WARNING, code=code, text=text, impact=impact, remedy=remedy, fix=fix
    )


def trouble(subject: str, code: str, text: str, *, impact: str, remedy: str, fix: str = "") -> Finding:
    """Return a finding about something that does not work."""
    return Finding(subject=subject, code=code, text=text, impact=impact, remedy=remedy, fix=fix)
