"""The commands of `msgctl queue`; start at `commands`."""
