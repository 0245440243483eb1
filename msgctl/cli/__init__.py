"""The command line: `msgctl NOUN VERB`. One file a noun; what they share begins with an underscore.

Data goes to standard output, everything else to standard error; the exit code tells scripts what happened.
"""

import gc
import io
import sys

from msgctl.cli.app import make_root
from msgctl.cli.framework.exit import run_invocation

__all__ = ["main"]


def main() -> None:
    """The program `msgctl`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # no terminal is too poor to be told something
    code = run_invocation(make_root(), sys.argv[1:])
    gc.freeze()  # else Python searches all it has imported for garbage before it ends: 0.05 s
    sys.exit(code)
