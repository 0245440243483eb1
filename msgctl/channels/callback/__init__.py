"""Channel `api`: a signed HTTP callback."""
