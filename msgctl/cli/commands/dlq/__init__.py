"""The commands of `msgctl dlq`; start at `commands`."""
