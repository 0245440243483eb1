"""What the tests, `tools.bench` and `tools.chaos` share: daemons as processes, faults before Redis, a scenario."""
