"""TODO msgctl/local/fakes."""
