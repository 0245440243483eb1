"""TODO msgctl/cli/framework."""
