"""The HTTP routes of the gateway, their schemas and responses, and the middleware in front of them."""
