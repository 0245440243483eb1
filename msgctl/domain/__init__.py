"""TODO msgctl/domain."""
