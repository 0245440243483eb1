"""What an operator can ask of a running pipeline. Each operation is a class that takes a `Context`."""
