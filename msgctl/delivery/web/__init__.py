"""TODO msgctl/delivery/web."""
