"""TODO msgctl/cli/commands/queue."""
