"""The errors of Meta's Cloud API; https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes."""

from msgctl.channels.error_codes import Code, Meaning

CODES = {
    0: Code(Meaning.STOP, "The access token is not valid: set [whatsapp] token."),
    1: Code(Meaning.UNKNOWN, "Meta does not know itself whether it was sent."),
    2: Code(Meaning.RETRY, "Meta's service is down or overloaded."),
    4: Code(Meaning.WAIT, "The app has reached its rate of calls.", "number", 4),
    33: Code(Meaning.STOP, "The sender is not known to this token: set [whatsapp] phone_number_id."),
    100: Code(
        Meaning.NEVER, "A parameter is not accepted: look at the number it goes to, and at [whatsapp] version."
    ),
    190: Code(Meaning.STOP, "The access token has expired: set [whatsapp] token."),
    368: Code(Meaning.STOP, "The account is blocked for a breach of policy: see the WhatsApp Manager."),
    80007: Code(Meaning.WAIT, "The account has reached its rate.", "number", 4),
    130429: Code(Meaning.WAIT, "The number has reached its rate of messages.", "number"),
    131000: Code(Meaning.UNKNOWN, "Meta does not know itself whether it was sent."),
    131016: Code(Meaning.RETRY, "Meta's service is overloaded."),
    131026: Code(Meaning.NEVER, "It cannot be delivered: the number has no WhatsApp, or an old one."),
    131031: Code(Meaning.STOP, "The account is locked: see the WhatsApp Manager."),
    131042: Code(Meaning.STOP, "There is a problem with the payment of the account: see the WhatsApp Manager."),
    131047: Code(Meaning.NEVER, "Outside the 24 h window: only a template can be sent now."),
    131048: Code(Meaning.NEVER, "The number is held back for spam: look at its quality in the WhatsApp Manager."),
    131049: Code(Meaning.NEVER, "Meta chose not to deliver it, to keep its ecosystem healthy."),
    131056: Code(Meaning.WAIT, "Too many messages to this customer.", "pair", 4),
    131057: Code(Meaning.RETRY, "The account is being upgraded; that takes about a minute."),
}
