"""TODO daemons/gateway/auth."""
