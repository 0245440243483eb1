"""TODO msgctl/canary."""
