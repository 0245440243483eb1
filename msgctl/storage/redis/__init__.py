"""Redis, opened with short timeouts, asked whether it keeps what it takes, and spoken to by Lua scripts."""
