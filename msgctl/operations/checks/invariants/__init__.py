"""TODO msgctl/operations/checks/invariants."""
