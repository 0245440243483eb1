"""The fixtures of the providers' tests."""

from tests.support.provider_fixtures import providers, replies, settings

__all__ = ["providers", "replies", "settings"]
