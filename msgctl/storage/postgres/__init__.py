"""PostgreSQL: a connection pool that opens on first use, migrations, and a row cache."""
