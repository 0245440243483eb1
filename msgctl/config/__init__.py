"""Configuration: one typed model, filled from flag > environment > file > default.

`settings` is the model, a sentence for each setting; `sources` finds the values and tells where each came from.
"""

from msgctl.config.settings import Settings
from msgctl.config.sources import Loaded, load

__all__ = ["Loaded", "Settings", "load"]
