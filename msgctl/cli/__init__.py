"""The command line, `msgctl NOUN VERB`; start at `app`.

Data goes to standard output, everything else to standard error. The exit code tells scripts what happened.
"""

import gc
import io
import sys

from msgctl.cli.app import make_root
from msgctl.cli.framework.exit import run_invocation

__all__ = ["main"]


def main() -> None:
    """Run the program `msgctl` and exit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may lack a character
    code = run_invocation(make_root(), sys.argv[1:])
    gc.freeze()  # without it, Python's last garbage collection takes 0.05 s
    sys.exit(code)
