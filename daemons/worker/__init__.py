"""The worker: claims messages and takes each through the six steps of `msgctl.processing.pipeline`."""
