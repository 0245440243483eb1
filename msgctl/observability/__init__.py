"""How a process reports what it does: logs, metrics, traces, the journal, and systemd's notify socket."""
