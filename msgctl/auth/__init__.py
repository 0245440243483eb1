"""Issue and verify the JSON Web Tokens of the gateway."""
