"""Responses on their way to their channels: the durable stream, the record of each send, one handler a file."""
