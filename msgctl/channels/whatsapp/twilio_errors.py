"""The errors of Twilio's Messages; https://www.twilio.com/docs/api/errors."""

from msgctl.channels.error_codes import Code, Meaning

CODES = {
    20003: Code(Meaning.STOP, "The account is not known: set [twilio] account_sid and auth_token."),
    20429: Code(Meaning.WAIT, "Too many calls at once.", "number"),
    21211: Code(Meaning.NEVER, "The number is not valid."),
    21610: Code(Meaning.NEVER, "The receiver has opted out."),
    21617: Code(Meaning.NEVER, "The text is too long."),
    21658: Code(Meaning.NEVER, "The text is too long."),
    63016: Code(Meaning.NEVER, "Outside the 24 h window: only a template can be sent now."),
    63018: Code(Meaning.WAIT, "The sender has reached its rate of messages.", "number", 4),
    63038: Code(Meaning.NEVER, "The daily limit of the account is reached."),
}
