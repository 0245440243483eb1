"""TODO msgctl/operations/dashboard."""
