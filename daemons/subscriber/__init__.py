"""TODO daemons/subscriber."""
