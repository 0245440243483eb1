"""TODO msgctl/local/demo."""
