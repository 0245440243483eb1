"""TODO msgctl/tui/tabs."""
