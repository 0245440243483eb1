"""The dashboard in a browser. Each page runs its own dashboard as a child process of this server."""
