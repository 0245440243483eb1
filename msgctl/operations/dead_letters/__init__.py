"""TODO msgctl/operations/dead_letters."""
