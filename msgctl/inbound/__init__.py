"""What customers write on WhatsApp and Telegram, as the providers' webhooks bring it; one file a provider."""

from msgctl.inbound.reception import Reception
from msgctl.inbound.word import Other, Receipt, Word

__all__ = ["Other", "Receipt", "Reception", "Word"]
