"""The two databases: Redis holds the pipeline, PostgreSQL holds agents and the ledger's copy."""
