"""What all daemons share: start with `lifecycle`, then `watchdog` and `metrics_server`."""
