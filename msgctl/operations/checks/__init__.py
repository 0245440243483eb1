"""TODO msgctl/operations/checks."""
