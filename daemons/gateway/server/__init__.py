"""TODO daemons/gateway/server."""
