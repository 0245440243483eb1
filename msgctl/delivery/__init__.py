"""Delivery of responses to their channels: a durable stream and one record per delivery.

Start with `router`, which a subscriber runs:

response_stream -- the stream that a commit writes to and a group of subscribers reads
router          -- dispatches each entry to its channel
web             -- routes web responses to the gateways that hold the sockets
ordered_executor, attempt -- send the responses of the other channels, those of one conversation in order
delivery_record -- the state of each delivery, written before a provider is called
parts           -- the parts of a delivery, the same for each of its attempts
earlier_parts   -- those of a delivery that version 0.1 began
unknown_outcome -- resolves sends that may have arrived
"""
