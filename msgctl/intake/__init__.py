"""TODO msgctl/intake."""
