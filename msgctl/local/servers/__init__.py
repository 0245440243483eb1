"""TODO msgctl/local/servers."""
