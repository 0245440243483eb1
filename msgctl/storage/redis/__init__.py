"""Redis: clients with short timeouts, durability checks, key names, and Lua scripts."""
