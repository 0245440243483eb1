"""Start the daemons of one machine and restart them when they exit; start at `local_pipeline`."""
