"""Delivery to sockets: `routing` is the subscriber's half, `gateway_sockets` the gateway's half."""
