"""The dashboard in a browser: each page is a dashboard of its own, run beside this server and shown through it."""

from msgctl.tui.web.place import Place, is_loopback, own_command
from msgctl.tui.web.serving import serve

__all__ = ["Place", "is_loopback", "own_command", "serve"]
