"""The gateway: the HTTP API and the WebSocket, the one door that customers come through."""
