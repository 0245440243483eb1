"""The live dashboard, on a terminal or in a browser; start at `app`."""
