"""TODO daemons/gateway/limits."""
