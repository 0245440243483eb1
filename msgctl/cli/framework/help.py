"""Help at the width of a terminal: no sentence of a listing is cut, and an example can be copied as it stands."""

import re
from typing import Any

from typer.core import TyperCommand, TyperGroup

from msgctl.cli.framework.channel_option import CHOICES, list_choices

EXAMPLE_PREFIX = "Example: "
LINE_CONTINUATION = " \\"
"""What a shell wants at the end of a line that goes on in the next one."""
SHELL_WORD_PATTERN = re.compile(r"""(?:"[^"]*"|'[^']*'|[^\s"'])+""")
"""A word of a shell's line; one in quotes may hold spaces."""


class VerbCommand(TyperCommand):
    """A command whose examples stand on lines of their own."""

    def __init__(self, name: str | None, **words: Any) -> None:
        text, begins, example = (words.get("help") or "").partition(EXAMPLE_PREFIX)
        if begins:
            words |= {"help": text.rstrip(), "epilog": EXAMPLE_PREFIX + example.rstrip()}
        super().__init__(name, **words)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options; those that take a channel show the channels of extensions too."""
        for parameter in self.params:
            if parameter.metavar == CHOICES:
                parameter.metavar = list_choices()
        super().format_options(ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """The example, or whatever else it says."""
        if self.epilog and self.epilog.startswith(EXAMPLE_PREFIX):
            _write_example(formatter, self.epilog.removeprefix(EXAMPLE_PREFIX))
        else:
            super().format_epilog(ctx, formatter)


class NounGroup(TyperGroup):
    """A group that says of each verb one whole clause, over two lines where it must."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The verbs."""
        rows = [(name, first_clause(self.commands[name].help or "")) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def first_clause(text: str) -> str:
    """The first clause of a help text: to the first full stop or semicolon."""
    paragraph = " ".join(text.partition("\n\n")[0].split())
    return re.split(r";|\.(?:\s|$)", paragraph, maxsplit=1)[0] + "."


def wrap_shell_line(line: str, width: int) -> list[str]:
    """A shell's line over so many columns, broken between words in a way that the shell takes back."""
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


def _write_example(formatter: Any, line: str) -> None:
    lead = " " * 2 + EXAMPLE_PREFIX
    first, *further = wrap_shell_line(" ".join(line.split()), formatter.width - len(lead))
    formatter.write_paragraph()
    formatter.write("".join(f"{one}\n" for one in (lead + first, *(" " * len(lead) + more for more in further))))
