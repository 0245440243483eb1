"""The commands of `msgctl message`; start at `commands`."""
