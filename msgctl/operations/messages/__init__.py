"""TODO msgctl/operations/messages."""
