"""The ledger of events: scripts write it to Redis (`stream`), `projector` copies it to PostgreSQL (`archive`)."""
