"""The provider's error numbers."""

from msgctl.channels.error_codes import Code, Meaning

CODES = {7: Code(Meaning.NEVER, "The number does not exist.")}
