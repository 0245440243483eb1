"""The gateway: the HTTP API, the WebSocket, and the webhooks of the providers. Start with `app`."""
