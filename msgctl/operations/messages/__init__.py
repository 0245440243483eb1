"""Messages: find, show, explain, trace, cancel, and purge them."""
