"""The error codes of the two WhatsApp providers, Meta's Cloud API and Twilio."""

from msgctl.channels.error_codes import Code, Meaning

CLOUD_CODES = {
    0: Code(Meaning.STOP, "The access token is not valid: set [whatsapp] token."),
    1: Code(Meaning.UNKNOWN, "Meta cannot tell whether it was sent."),
    2: Code(Meaning.RETRY, "Meta's service is down or overloaded."),
    4: Code(Meaning.WAIT, "The app has reached its rate of calls.", "number", 4),
    33: Code(Meaning.STOP, "This token has no access to the sender: set [whatsapp] phone_number_id."),
    100: Code(Meaning.NEVER, "A parameter is not accepted: check the customer's number and [whatsapp] version."),
    190: Code(Meaning.STOP, "The access token has expired: set [whatsapp] token."),
    368: Code(Meaning.STOP, "The account is blocked for a policy violation: see the WhatsApp Manager."),
    80007: Code(Meaning.WAIT, "The account has reached its rate.", "number", 4),
    130429: Code(Meaning.WAIT, "The number has reached its rate of messages.", "number"),
    131000: Code(Meaning.UNKNOWN, "Meta cannot tell whether it was sent."),
    131016: Code(Meaning.RETRY, "Meta's service is overloaded."),
    131026: Code(Meaning.NEVER, "It cannot be delivered: the number has no WhatsApp, or an old version."),
    131031: Code(Meaning.STOP, "The account is locked: see the WhatsApp Manager."),
    131042: Code(Meaning.STOP, "There is a problem with the payment of the account: see the WhatsApp Manager."),
    131047: Code(Meaning.NEVER, "Outside the 24 h window: only a template can be sent now."),
    131048: Code(Meaning.NEVER, "The number is restricted for spam: check its quality in the WhatsApp Manager."),
    131049: Code(Meaning.NEVER, "Meta chose not to deliver it, to keep its ecosystem healthy."),
    131056: Code(Meaning.WAIT, "Too many messages to this customer.", "pair", 4),
    131057: Code(Meaning.RETRY, "The account is being upgraded; that takes about a minute."),
}
"""The Cloud API; https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes."""

TWILIO_CODES = {
    20003: Code(Meaning.STOP, "The account or the token is not valid: set [twilio] account_sid and auth_token."),
    20429: Code(Meaning.WAIT, "Too many concurrent calls.", "number"),
    21211: Code(Meaning.NEVER, "The number is not valid."),
    21610: Code(Meaning.NEVER, "The receiver has opted out."),
    21617: Code(Meaning.NEVER, "The text is too long."),
    21658: Code(Meaning.NEVER, "The text is too long."),
    63016: Code(Meaning.NEVER, "Outside the 24 h window: only a template can be sent now."),
    63018: Code(Meaning.WAIT, "The sender has reached its rate of messages.", "number", 4),
    63038: Code(Meaning.NEVER, "The daily limit of the account is reached."),
}
"""Twilio's Messages; https://www.twilio.com/docs/api/errors."""
