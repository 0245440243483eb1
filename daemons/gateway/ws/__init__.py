"""The WebSocket. Start with `endpoint`; `session` is the protocol without I/O."""
