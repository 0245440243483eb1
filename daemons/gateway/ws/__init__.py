"""TODO daemons/gateway/ws."""
