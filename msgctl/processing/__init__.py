"""TODO msgctl/processing."""
