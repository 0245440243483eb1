"""Checks of a pipeline: health, doctor, conditions, the smoke test, and the invariants."""
