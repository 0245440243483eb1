"""Responses on their way to their channels: the durable stream, the record of each send.

stream ── what COMMIT, FAIL and others put there, read by a group of subscribers
router ── gives each entry to its channel
web    ── ROUTE puts it into the inbox of the gateway that holds the socket; there `sockets` reads it
lanes  ── phones and callbacks, a conversation after the other: `delivering` takes each from BEGIN to its end
(`record`), with the sender of its channel (`msgctl.channels`), which knows the provider
"""
