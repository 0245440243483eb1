"""TODO msgctl/local/supervisor."""
