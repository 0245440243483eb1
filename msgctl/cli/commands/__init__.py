"""TODO msgctl/cli/commands."""
