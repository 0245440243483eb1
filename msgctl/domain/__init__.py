"""Types and rules without I/O: messages, errors, ownership, retry decisions, steps, durations."""
