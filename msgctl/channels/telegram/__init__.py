"""Channel `telegram`: the Bot API."""
