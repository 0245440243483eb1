"""The ledger of every message: written by every script beside its transition, carried on into PostgreSQL."""
