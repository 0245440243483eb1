"""TODO msgctl/cli/commands/message."""
