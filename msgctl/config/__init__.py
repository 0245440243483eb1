"""Configuration: one typed model, filled from flag > environment > file > default.

`settings` is the model, with a description of each setting. `sources` reads the values and records their origins.
"""
