"""TODO msgctl/storage."""
