"""Types and rules without I/O: messages, errors, ownership, retries, steps, and times. Start with `messages`."""
