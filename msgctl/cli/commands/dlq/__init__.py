"""TODO msgctl/cli/commands/dlq."""
