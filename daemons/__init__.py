"""The processes of the pipeline; each is run as `python -m daemons.NAME`."""
