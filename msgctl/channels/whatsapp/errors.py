"""The error codes of the two WhatsApp providers, Meta's Cloud API and Twilio.

A code means the same in the answer to a send and in a status webhook.
"""

from msgctl.channels.error_codes import Code, Meaning

_PERMISSION = Code(Meaning.STOP, "The access token lacks a permission: give it whatsapp_business_messaging.")
_TEMPLATE = Code(Meaning.NEVER, "The template is not accepted: see it in the WhatsApp Manager.")

CLOUD_CODES = {
    0: Code(Meaning.STOP, "The access token is not valid: set [whatsapp] token."),
    1: Code(Meaning.UNKNOWN, "Meta cannot tell whether it was sent."),
    2: Code(Meaning.RETRY, "Meta's service is down or overloaded."),
    3: _PERMISSION,
    4: Code(Meaning.WAIT, "The app has reached its rate of calls.", "number", 4),
    10: _PERMISSION,
    33: Code(Meaning.STOP, "This token has no access to the sender: set [whatsapp] phone_number_id."),
    100: Code(Meaning.NEVER, "A parameter is not accepted: check the customer's number and [whatsapp] version."),
    190: Code(Meaning.STOP, "The access token has expired: set [whatsapp] token."),
    **dict.fromkeys(range(200, 300), _PERMISSION),
    368: Code(Meaning.STOP, "The account is blocked for a policy violation: see the WhatsApp Manager."),
    80007: Code(Meaning.WAIT, "The account has reached its rate.", "number", 4),
    130429: Code(Meaning.WAIT, "The number has reached its rate of messages.", "number"),
    130472: Code(Meaning.NEVER, "The customer is part of an experiment of Meta's and gets no such message."),
    130497: Code(Meaning.NEVER, "The account may not write to customers in this country."),
    131000: Code(Meaning.UNKNOWN, "Meta cannot tell whether it was sent."),
    131005: _PERMISSION,
    131008: Code(Meaning.NEVER, "A parameter is missing: check channelMetadata and [whatsapp] version."),
    131009: Code(Meaning.NEVER, "A parameter has an invalid value: check channelMetadata and [whatsapp] version."),
    131016: Code(Meaning.RETRY, "Meta's service is overloaded."),
    131021: Code(Meaning.NEVER, "The customer's number is the sender's own."),
    131026: Code(Meaning.NEVER, "It cannot be delivered: the number has no WhatsApp, or an old version."),
    131030: Code(Meaning.NEVER, "A test number writes only to numbers that its list of recipients holds."),
    131031: Code(Meaning.STOP, "The account is locked: see the WhatsApp Manager."),
    131037: Code(Meaning.STOP, "The display name of the number is not approved: see the WhatsApp Manager."),
    131042: Code(Meaning.STOP, "There is a problem with the payment of the account: see the WhatsApp Manager."),
    131045: Code(Meaning.STOP, "The number is not registered: register it in the WhatsApp Manager."),
    131047: Code(Meaning.NEVER, "Outside the 24 h window: only a template can be sent now."),
    131048: Code(Meaning.NEVER, "The number is restricted for spam: check its quality in the WhatsApp Manager."),
    131049: Code(Meaning.NEVER, "Meta chose not to deliver it, to keep its ecosystem healthy."),
    131050: Code(Meaning.NEVER, "The customer has opted out of marketing messages."),
    131051: Code(Meaning.NEVER, "The type of the message is not supported."),
    131052: Code(Meaning.NEVER, "Meta cannot download the customer's media."),
    131053: Code(Meaning.NEVER, "Meta cannot take the media."),
    131056: Code(Meaning.WAIT, "Too many messages to this customer.", "pair", 4),
    131057: Code(Meaning.RETRY, "The account is being upgraded; that takes about a minute."),
    131062: Code(Meaning.NEVER, "Such a message needs the customer's phone number."),
    132000: _TEMPLATE,
    132001: _TEMPLATE,
    132005: _TEMPLATE,
    132007: _TEMPLATE,
    132012: _TEMPLATE,
    132015: _TEMPLATE,
    132016: _TEMPLATE,
    133010: Code(Meaning.STOP, "The number is not registered: register it in the WhatsApp Manager."),
    135000: Code(Meaning.NEVER, "Meta does not accept the message, and names no reason."),
}
"""The Cloud API; https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes."""

_TOO_LONG = Code(Meaning.NEVER, "The text is too long.")
_UNREACHABLE = Code(Meaning.NEVER, "It cannot be delivered: the receiver cannot be reached by WhatsApp.")
_SENDER = Code(Meaning.STOP, "The sender is not one of the account's WhatsApp senders: set [twilio] sender.")
_ACCOUNT = Code(
    Meaning.STOP, "WhatsApp has locked or restricted the account: see the senders in Twilio's console."
)

TWILIO_CODES = {
    20003: Code(Meaning.STOP, "The account or the token is not valid: set [twilio] account_sid and auth_token."),
    20005: Code(Meaning.STOP, "The account is not active: see Twilio's console."),
    20008: Code(Meaning.STOP, "These are test credentials: set [twilio] account_sid and auth_token."),
    20429: Code(Meaning.WAIT, "Too many concurrent calls.", "number"),
    21211: Code(Meaning.NEVER, "The number is not valid."),
    21212: _SENDER,
    21408: Code(
        Meaning.NEVER, "The account may not write to this country: see the permissions in Twilio's console."
    ),
    21606: _SENDER,
    21608: Code(Meaning.NEVER, "A trial account writes only to numbers that were verified."),
    21610: Code(Meaning.NEVER, "The receiver has opted out."),
    21612: _UNREACHABLE,
    21614: Code(Meaning.NEVER, "The number is not one that gets messages."),
    21617: _TOO_LONG,
    21658: _TOO_LONG,
    21910: Code(Meaning.STOP, "Sender and receiver are not of one kind: set [twilio] sender without a prefix."),
    30001: Code(Meaning.WAIT, "The sender's queue is full.", "number", 4),
    30002: Code(Meaning.STOP, "The account is suspended: see Twilio's console."),
    30007: Code(Meaning.NEVER, "It was filtered as unwanted."),
    30008: Code(Meaning.NEVER, "It was not delivered, and Twilio names no reason."),
    63001: Code(
        Meaning.STOP, "WhatsApp does not accept the account's credentials: see the senders in Twilio's console."
    ),
    63003: _UNREACHABLE,
    63005: Code(Meaning.NEVER, "WhatsApp does not accept the content."),
    63007: _SENDER,
    63013: Code(Meaning.NEVER, "It violates a policy of WhatsApp."),
    63015: Code(Meaning.NEVER, "The receiver has not joined the sandbox."),
    63016: Code(Meaning.NEVER, "Outside the 24 h window: only a template can be sent now."),
    63017: Code(Meaning.WAIT, "The sender has reached its rate of messages.", "number", 4),
    63018: Code(Meaning.WAIT, "The sender has reached its rate of messages.", "number", 4),
    63020: Code(
        Meaning.STOP, "The business account is not set up: accept Twilio's request in the Business Manager."
    ),
    63024: Code(Meaning.NEVER, "The receiver is not valid."),
    63032: Code(Meaning.NEVER, "WhatsApp does not deliver it to this receiver now."),
    63036: _UNREACHABLE,
    63038: Code(Meaning.NEVER, "The daily limit of the account is reached."),
    63049: Code(Meaning.NEVER, "Meta chose not to deliver it, to keep its ecosystem healthy."),
    63051: _ACCOUNT,
    63112: _ACCOUNT,
}
"""Twilio's Messages; https://www.twilio.com/docs/api/errors."""
