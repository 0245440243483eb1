"""The demo: a whole pipeline with visible traffic."""
