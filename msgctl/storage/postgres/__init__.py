"""PostgreSQL, opened when it is needed, with the tables that every part of msgctl keeps there."""
