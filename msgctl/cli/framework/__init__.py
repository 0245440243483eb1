"""What all commands share beyond Typer: lazy loading, sessions, queries, output, exit codes, and completion."""
