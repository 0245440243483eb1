"""TODO msgctl/auth."""
