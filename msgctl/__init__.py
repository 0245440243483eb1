"""msgctl: the asynchronous pipeline between chat customers and AI agents, and the toolkit to operate it."""

__version__ = "0.1.0"
