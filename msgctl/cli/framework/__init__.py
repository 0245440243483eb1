"""What the commands share and Typer does not offer: lazy loading, sessions, queries, output, exit codes, completion."""
