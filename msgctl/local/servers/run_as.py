"""Who a server runs as: PostgreSQL refuses root, so root's servers run as `nobody` in folders of their own."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from msgctl.domain.errors import ConfigurationError

SAME_USER = "-"


@dataclass(frozen=True)
class RunAs:
    """The user a server runs as.

    Args:
        uid: its number.
        gid: its group.
        change: whether that is another user than ours.
    """

    uid: int
    gid: int
    is_other_user: bool

    @classmethod
    def for_servers(cls) -> "RunAs":
        """`nobody` where we are root, otherwise ourselves."""
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid(), is_other_user=False)
        try:
            nobody = pwd.getpwnam("nobody")
        except KeyError:
            raise ConfigurationError(
                "PostgreSQL cannot run as root and this system has no user `nobody`. "
                "Run msgctl as an ordinary user, or name your own servers in config.toml."
            ) from None
        return cls(nobody.pw_uid, nobody.pw_gid, is_other_user=True)

    def launch_argument(self, *required_paths: Path) -> str:
        """What `launch` is told: whom to become, with a right to pass root's own folders if it needs one.

        Under a home of mode 0700 (root's, commonly) `nobody` could reach neither the server's binaries nor its
        data. The alternatives are a copy of 40 MB and data in another place than the one that was asked for.

        Args:
            required_paths: what the server must be able to enter or execute.
        """
        if not self.is_other_user:
            return SAME_USER
        barred = any(not _is_world_accessible(path) for path in required_paths)
        return f"{self.uid}:{self.gid}:dac" if barred else f"{self.uid}:{self.gid}"

    def chown_tree(self, path: Path) -> None:
        """Make a file or folder, and all below it, this user's."""
        if not self.is_other_user:
            return
        for found in (path, *path.rglob("*")):
            os.chown(found, self.uid, self.gid, follow_symlinks=False)

    def make_folder(self, path: Path) -> None:
        """A folder for this user alone; one that exists is taken over only if it is ours or its own.

        Raises:
            ConfigurationError: it cannot be made, or belongs to someone else.
        """
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            owner = path.stat().st_uid
        except OSError as error:
            raise ConfigurationError(
                f"Cannot make the folder {path}: {error.strerror}. Choose another --data-dir."
            ) from error
        if owner not in {self.uid, os.geteuid()}:
            raise ConfigurationError(
                f"{path} belongs to user {owner}, so the servers of user {self.uid} cannot keep data there. "
                "Choose another --data-dir."
            )
        if self.is_other_user and owner != self.uid:
            self.chown_tree(path)
        path.chmod(0o700)


def _is_world_accessible(path: Path) -> bool:
    """Whether any user may enter every folder above `path`, and read and execute (or enter) it."""
    path = path.resolve()
    return all(folder.stat().st_mode & 0o001 for folder in path.parents) and path.stat().st_mode & 0o005 == 0o005
