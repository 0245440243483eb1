"""The commands, one module or package for each noun."""
