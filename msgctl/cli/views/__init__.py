"""How a message and its trace are printed."""
