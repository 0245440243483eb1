"""The doctor: checks of the pipeline and its surroundings; start at `doctor`."""
