"""The doctor: looks at all the pipeline stands on, and names each trouble with the command that mends it."""
