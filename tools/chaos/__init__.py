"""What is done to the pipeline on purpose, and whether its promises hold all the same: `make chaos`."""
