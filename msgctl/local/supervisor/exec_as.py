"""Run a command as another user, bound to the life of the process that started it; a script, never imported.

    python -I -S launch.py DEATH_SIGNAL PARENT USER COMMAND...

USER is `-` (stay who we are), `uid:gid`, or `uid:gid:dac` to keep the right to pass folders and files that
belong to root.

A program of its own and not a `preexec_fn`: that would run Python between fork and exec of a process with
threads, which may deadlock. It replaces itself with the command, so the process id stays what the parent saw.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG, PR_SET_SECUREBITS, PR_CAP_AMBIENT = 1, 28, 47
PR_CAP_AMBIENT_RAISE = 2
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522

libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Change the user, bind our life to the parent's, become the command."""
    death_signal, parent, user, *command = sys.argv[1:]
    if user != "-":
        switch_user(*user.split(":"))
    # The kernel forgets this setting when the user changes, hence after it.
    exit_on_error(libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0))
    if os.getppid() != int(parent):
        sys.exit("launch: the parent died before its child could be bound to it")
    os.execv(command[0], command)  # noqa: S606 - the command is the caller's, no shell is wanted


def switch_user(uid: str, gid: str, capability: str = "") -> None:
    """Give up root for good, but for the right to pass and read what is root's where `right` is `dac`."""
    if capability:
        # Not PR_SET_KEEPCAPS: with that alone access(2), which initdb asks, looks past the capability.
        exit_on_error(libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0))
    os.setgroups([])
    os.setgid(int(gid))
    os.setuid(int(uid))
    if capability:
        keep_capability(CAP_DAC_OVERRIDE)


def keep_capability(capability: int) -> None:
    """Carry one capability, and no other, over the exec."""
    mask = 1 << capability
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    exit_on_error(libc.capset(header, sets))
    exit_on_error(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0))


def exit_on_error(result: int) -> None:
    """Leave with the system's word for what failed."""
    if result != 0:
        sys.exit(f"launch: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main()
