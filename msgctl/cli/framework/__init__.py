"""What all commands share beyond Typer: lazy loading, sessions, options, queries, output, and exit codes."""
