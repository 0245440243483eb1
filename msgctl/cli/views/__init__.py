"""TODO msgctl/cli/views."""
