"""Help at the width of the terminal: no sentence of a listing is cut, and each example can be copied."""

import functools
import re
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from msgctl.cli.framework.channel_option import CHOICES, list_choices

EXAMPLE_PREFIX = "Example: "
LINE_CONTINUATION = " \\"
SHELL_WORD_PATTERN = re.compile(r"""(?:"[^"]*"|'[^']*'|[^\s"'])+""")
"""A word of a shell line. A quoted word may contain spaces."""


TYPE_NAMES = {
    "<str>": "TEXT",
    "<int>": "NUMBER",
    "<int range>": "NUMBER",
    "<float range>": "NUMBER",
    "<list[int]>": "NUMBER",
    "<file>": "FILE",
    "<path>": "PATH",
}
"""What help calls the types of options, instead of Typer's names for them."""


class VerbCommand(TyperCommand):
    """A command whose help names types in plain words and ends with an example."""

    def __init__(self, name: str | None, **attributes: Any) -> None:
        text, prefix, example = (attributes.get("help") or "").partition(EXAMPLE_PREFIX)
        if prefix:
            attributes |= {"help": text.rstrip(), "epilog": EXAMPLE_PREFIX + example.rstrip()}
        super().__init__(name, **attributes)
        parameters: list[Any] = self.params
        for parameter in parameters:
            parameter.display_type = functools.partial(_type_name, parameter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options. Options that take a channel list the channels of extensions too."""
        for parameter in self.params:
            if parameter.metavar == CHOICES:
                parameter.metavar = list_choices()
        super().format_options(ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the example, or an epilog of another kind."""
        if self.epilog and self.epilog.startswith(EXAMPLE_PREFIX):
            _write_example(formatter, self.epilog.removeprefix(EXAMPLE_PREFIX))
        else:
            super().format_epilog(ctx, formatter)


class NounGroup(TyperGroup):
    """A group whose listing shows the whole first clause of each verb's help."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the verbs."""
        rows = [(name, first_clause(self.commands[name].help or "")) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class VerbTyper(typer.Typer):
    """A `typer.Typer` whose commands are `VerbCommand`s."""

    def command(self, name: str | None = None, **words: Any) -> Callable[[Any], Any]:
        """Register a function as the command of this name."""
        return super().command(name, **{"cls": VerbCommand, **words})


def make_noun_group(summary: str) -> VerbTyper:
    """Return a noun without verbs. Called without a verb, it prints its help.

    Args:
        summary: the first line of its help.
    """
    return VerbTyper(cls=NounGroup, help=summary, no_args_is_help=True, rich_markup_mode=None)


def first_clause(text: str) -> str:
    """Return the first clause of a help text: up to the first full stop or semicolon."""
    paragraph = " ".join(text.partition("\n\n")[0].split())
    return re.split(r";|\.(?:\s|$)", paragraph, maxsplit=1)[0] + "."


def wrap_shell_line(line: str, width: int) -> list[str]:
    """Wrap a shell line between words at so many columns, with a backslash where it continues."""
    first, *words = SHELL_WORD_PATTERN.findall(line)
    lines = [first]
    for number, word in enumerate(words, 1):
        end = len(LINE_CONTINUATION) if number < len(words) else 0
        if len(lines[-1]) + 1 + len(word) + end > width:
            lines[-1] += LINE_CONTINUATION
            lines.append(word)
        else:
            lines[-1] += f" {word}"
    return lines


def _type_name(parameter: Any, ctx: Any) -> str:
    if parameter.param_type_name == "argument":
        return ""  # its name is enough
    name: str = type(parameter).display_type(parameter, ctx)
    return TYPE_NAMES.get(name, name)


def _write_example(formatter: Any, line: str) -> None:
    lead = " " * 2 + EXAMPLE_PREFIX
    first, *rest = wrap_shell_line(" ".join(line.split()), formatter.width - len(lead))
    formatter.write_paragraph()
    formatter.write("".join(f"{text}\n" for text in (lead + first, *(" " * len(lead) + text for text in rest))))
