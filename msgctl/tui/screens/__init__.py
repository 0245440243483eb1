"""One file a tab of the dashboard, and one a screen that opens above it."""
