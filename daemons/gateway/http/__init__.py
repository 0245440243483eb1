"""TODO daemons/gateway/http."""
