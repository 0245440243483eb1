"""What customers write on WhatsApp and Telegram, as the providers' webhooks bring it; one file a provider."""

from msgctl.inbound.reception import Reception
from msgctl.inbound.word import Receipt, Word

__all__ = ["Receipt", "Reception", "Word"]
