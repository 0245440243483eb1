"""The dashboard in a browser: each page is a dashboard of its own, run beside this server and shown through it."""
