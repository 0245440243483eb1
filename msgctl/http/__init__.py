"""Outgoing HTTP: a client for providers and callbacks, and the guard against server-side request forgery."""
