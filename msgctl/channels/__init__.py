"""The channels to a customer, one package each, and what they share.

base            -- the protocol of a sender
error_codes     -- what a provider's error numbers mean for a delivery
send_limits     -- rates, the reply window and disabled URLs that a send must respect
text_splitter   -- cuts a long reply into parts
inbound         -- what a webhook brings
web, whatsapp, telegram, callback -- a package each: sender, webhook, error codes
"""
