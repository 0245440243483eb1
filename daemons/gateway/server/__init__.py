"""The server of the gateway: uvicorn, its listening socket, and its HTTP protocol."""
