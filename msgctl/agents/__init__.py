"""Agents in PostgreSQL: who answers a customer, read through a short memory that hears of changes at once."""
