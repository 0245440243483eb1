"""The data of the dashboard; start at `overview`."""
