"""TODO msgctl/tui/views."""
