"""Settings that name the strict local providers, with short pauses."""

from msgctl.config.settings import Settings
from msgctl.local.servers.valkey import ValkeyServer
from tests.support.providers import Providers

SECRET = "whsec_bXNnY3RsIHRlc3RzIGNhbGxiYWNrIHNlY3JldCE="


def provider_settings(valkey: ValkeyServer, providers: Providers, database: int) -> Settings:
    """Return settings with every channel set up against the local providers.

    Args:
        valkey: the server of the tests.
        providers: the local providers.
        database: the number of the Redis database.
    """
    return Settings.model_validate(
        {
            "redis": {
                "host": "127.0.0.1",
                "port": valkey.port,
                "password": valkey.password,
                "database": database,
            },
            "retry": {"base": 0.05, "cap": 0.2},
            "delivery": {"attempts": 3, "timeout": 10, "takeover": 2},
            "whatsapp": {
                "base_url": providers.url,
                "phone_number_id": "1065",
                "token": "meta-token",
                "unknown": "keep",
            },
            "twilio": {
                "base_url": providers.url,
                "account_sid": "AC1",
                "auth_token": "twilio-token",
                "sender": "+14155238886",
                "unknown": "keep",
            },
            "telegram": {
                "base_url": providers.url,
                "token": "123456:AAF-secret_of_the_bot",
                "chat_rate": 1000,
                "rate": 1000,
                "unknown": "keep",
            },
            "callback": {"secret": SECRET, "allowed_hosts": [providers.host], "schedule": [0, 0.1, 0.2]},
        }
    )
