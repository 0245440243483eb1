"""Channels that other distributions add, found by name at once and loaded when they are needed.

A channel is added by a call (`msgctl.channels.registry.register`) or by an entry point of the group
`msgctl.channels` whose name is the channel's. Reading the metadata of all distributions costs milliseconds, so
nothing here runs before a name is asked for that msgctl does not ship.
"""

import functools
import re
from typing import TYPE_CHECKING, Any

from msgctl.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
"""What a channel may be called; the name becomes part of Redis keys and of environment variables."""

ADDED_CHANNELS: dict[str, str] = {}
"""The registry of channels in msgctl's tree beyond the first four: `"NAME": "msgctl.channels.NAME:CHANNEL"`."""


class Extensions:
    """The channels of one entry point group, and those registered by a call.

    Args:
        group: the entry point group.
    """

    def __init__(self, group: str) -> None:
        self._group = group
        self._registered: dict[str, Any] = {}
        self._loaded: dict[str, Any] = {}

    def add(self, name: str, extension: Any) -> None:
        """Register an extension.

        Raises:
            ValueError: the name is invalid or taken.
        """
        if not NAME.fullmatch(name):
            raise ValueError(f"Invalid channel name {name!r}. Use up to 32 of a-z 0-9 _, with a letter first.")
        if name in self._registered:
            raise ValueError(f"The channel {name!r} is registered twice. Rename one of them.")
        self._registered[name] = extension

    def remove(self, name: str) -> None:
        """Forget an extension that was registered by a call."""
        del self._registered[name]

    def names(self) -> tuple[str, ...]:
        """Return the names of all extensions, registered ones first; loads none of them."""
        return (*self._registered, *(name for name in self._entry_points if name not in self._registered))

    def load(self, name: str) -> Any:
        """Return an extension.

        Raises:
            KeyError: there is no extension of this name.
            ConfigurationError: its entry point cannot be loaded.
        """
        if name in self._registered:
            return self._registered[name]
        if name not in self._loaded:
            self._loaded[name] = self._load(self._entry_points[name])
        return self._loaded[name]

    def rescan(self) -> None:
        """Discard what was read, so that the next call reads the metadata of all distributions again."""
        self.__dict__.pop("_entry_points", None)
        self._loaded.clear()

    @functools.cached_property
    def _entry_points(self) -> dict[str, "EntryPoint"]:
        from importlib import metadata  # noqa: PLC0415 - it takes 30 ms with all of `email`, and few commands need it

        added = [metadata.EntryPoint(name, value, self._group) for name, value in ADDED_CHANNELS.items()]
        return {point.name: point for point in (*metadata.entry_points(group=self._group), *added)}

    def _load(self, point: "EntryPoint") -> Any:
        try:
            if not NAME.fullmatch(point.name):
                raise ValueError(f"invalid channel name {point.name!r}")  # noqa: TRY301 - reported like all others
            found = point.load()
            if getattr(found, "name", None) != point.name:
                raise ValueError(f"it must be a ChannelSpec with the name {point.name!r}")  # noqa: TRY301 - likewise
        except Exception as error:
            origin = f" of {point.dist.name}" if point.dist else ""
            raise ConfigurationError(
                f"The channel {point.name!r} cannot be loaded: its entry point {point.value!r}{origin} in the "
                f"group {self._group} failed ({type(error).__name__}: {error}). Fix or uninstall that package."
            ) from error
        return found


CHANNELS = Extensions("msgctl.channels")
"""The channels that msgctl does not ship."""
