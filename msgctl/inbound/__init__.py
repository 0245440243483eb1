"""Messages and statuses that providers send: `processor` enqueues or records what `msgctl.channels` has parsed."""
