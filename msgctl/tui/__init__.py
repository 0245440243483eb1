"""The dashboard: the pipeline live on a terminal, or in a browser."""
