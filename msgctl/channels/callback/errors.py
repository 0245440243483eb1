"""What a callback's receiver means by an HTTP status, after Standard Webhooks; other 4xx tell of the message."""

from msgctl.channels.error_codes import Code, Meaning

REDIRECT = Code(Meaning.RETRY, "Redirects are not followed: give the URL that it leads to.")
CODES = {
    301: REDIRECT,
    302: REDIRECT,
    303: REDIRECT,
    307: REDIRECT,
    308: REDIRECT,
    401: Code(Meaning.RETRY, "The receiver does not accept the signature: has it the same secret?"),
    403: Code(Meaning.RETRY, "The receiver does not let us in: has it the same secret?"),
    404: Code(Meaning.RETRY, "There is nothing at this URL, or not yet."),
    408: Code(Meaning.RETRY, "The receiver was too slow."),
    410: Code(Meaning.NEVER, "The receiver wants no more: the URL is not called for `callback.gone`.", "url"),
    425: Code(Meaning.RETRY, "The receiver asks to come later."),
    429: Code(Meaning.RETRY, "The receiver asks to come later."),
}
