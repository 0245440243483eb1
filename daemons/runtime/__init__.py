"""TODO daemons/runtime."""
