"""Text that several tabs and screens of the dashboard show: status lines, a message, its timeline."""
