"""The channels to customers, one package each; start with `registry`, which lists them.

base            -- the description of a channel and the protocol of its sender
names           -- the names of all channels, without loading any
error_codes     -- the meaning of a provider's error codes for a delivery
send_limits     -- rates, the reply window and callback URLs that are gone
text            -- the parts of a reply, with its Markdown as the channel shows it
webhook         -- the interface between a webhook and the gateway
inbound         -- the items of a webhook
web, whatsapp, telegram, callback -- a package each: sender, webhook, errors, rate limits
"""
