"""The subscriber: takes responses from the response stream to their channels. Start with `service`."""
