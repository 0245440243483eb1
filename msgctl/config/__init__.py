"""Configuration: one typed model, filled from flag > environment > file > default.

`settings` is the model, a sentence for each setting; `sources` finds the values and tells where each came from.
"""
