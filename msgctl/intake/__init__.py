"""How a message is accepted: `accept` validates it and enqueues it once."""
