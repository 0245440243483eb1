"""The HTTP statuses of callback receivers, after Standard Webhooks; any other 4xx rejects the message."""

from msgctl.channels.error_codes import Code, Meaning

REDIRECT = Code(Meaning.RETRY, "Redirects are not followed: use the URL that it redirects to.")
CODES = {
    301: REDIRECT,
    302: REDIRECT,
    303: REDIRECT,
    307: REDIRECT,
    308: REDIRECT,
    401: Code(Meaning.RETRY, "The receiver does not accept the signature: check that it has the same secret."),
    403: Code(Meaning.RETRY, "The receiver denies access: check that it has the same secret."),
    404: Code(Meaning.RETRY, "The URL does not exist, or not yet."),
    408: Code(Meaning.RETRY, "The receiver was too slow."),
    410: Code(
        Meaning.NEVER, "The receiver wants no more callbacks: the URL is not called for `callback.gone`.", "url"
    ),
    425: Code(Meaning.RETRY, "The receiver asks to try later."),
    429: Code(Meaning.RETRY, "The receiver asks to try later."),
}
