"""TODO msgctl/observability."""
