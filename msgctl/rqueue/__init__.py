"""The import path that stored jobs name. The queue itself is `msgctl.queue`."""
