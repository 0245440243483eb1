"""The config.toml of a data folder: written once, afterwards only changed where an address has changed."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgctl.config.sources import SettingKey
from msgctl.domain.errors import ConfigurationError

FILE_HEADING = (
    "# Written by `msgctl up`. It changes addresses that have changed, and leaves everything else to you.\n"
)
SECTION_PATTERN = re.compile(r"\s*\[(?P<name>[^\[\]]+)\]\s*(?:#.*)?$")


def update_settings(file: Path, values: Mapping[SettingKey, Any]) -> None:
    """Set values in a configuration file, in place: comments, order and every other setting stay.

    The file is made if it is not there, is readable by its owner alone, and is replaced in one step.

    Args:
        file: where to write.
        values: by section and name; each a text, number, truth value or list of texts.

    Raises:
        ConfigurationError: it cannot be written.
    """
    try:
        lines = file.read_text("utf-8").splitlines() if file.exists() else [FILE_HEADING]
        for (section, name), value in values.items():
            _set_line(lines, section, f"{name} = {json.dumps(value, ensure_ascii=False)}")
        partial = file.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        partial.touch(0o600)
        partial.write_text("\n".join(lines).rstrip() + "\n", "utf-8")
        os.replace(partial, file)  # noqa: PTH105 - the same as Path.replace, but says that it replaces
    except OSError as error:
        raise ConfigurationError(f"Cannot write {file}: {error.strerror}. Choose another --data-dir.") from error


def _set_line(lines: list[str], section: str, assignment: str) -> None:
    """Replace the line of a setting, or add it at the end of its section, or add the section."""
    name = assignment.partition(" ")[0]
    begin, end = _find_section(lines, section)
    if begin is None:
        lines += ["", f"[{section}]", assignment]
        return
    for number in range(begin, end):
        if re.match(rf"\s*{re.escape(name)}\s*=", lines[number]):
            lines[number] = assignment
            return
    while end > begin and not lines[end - 1].strip():
        end -= 1
    lines.insert(end, assignment)


def _find_section(lines: list[str], section: str) -> tuple[int | None, int]:
    """The first line after a section's heading, and the line behind its last one."""
    begin = None
    for number, line in enumerate(lines):
        heading = SECTION_PATTERN.match(line)
        if heading and begin is not None:
            return begin, number
        if heading and heading["name"].strip() == section:
            begin = number + 1
    return begin, len(lines)
