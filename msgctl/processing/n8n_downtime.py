"""Tell an n8n that is down from a workflow that failed, by what came back. Pure.

Behind a proxy a dead n8n is not a refused connection but a page; one that starts says so with status 200.
"""

import re
import zlib
from collections.abc import Mapping
from typing import Any

from msgctl.domain.n8n_outage import OutageScope
from msgctl.processing.answer_json import NotJson, parse_json
from msgctl.processing.markup import find_title, is_markup
from msgctl.processing.n8n_sentences import recognize_sentence

BUSY_STATUSES = frozenset({408, 425, 429})
"""4xx statuses that say "not now" about n8n and nothing about the message."""
_MAYBE_RUN = frozenset({408, 504, 522, 524, 598, 599})
_LONGEST_PAGE = 65_536
_LONGEST_WORDS = 400
_LONGEST_SENTENCE = 160
_STARTING = re.compile(
    r"n8n is (?:starting|migrating|updating|restarting|not ready|being|currently|temporarily|unavailable|down"
    r"|loading)|database is not ready|(?:running|applying) (?:database )?migrations"
    r"|(?:starting|migrating|restarting|updating|loading) (?:n8n|up\b)",
    re.IGNORECASE,
)
_STARTING_SENTENCE = re.compile(
    r"n8n is (?:now |still )?(?:starting|migrating|restarting|updating|loading|not ready"
    r"|(?:temporarily )?unavailable|under maintenance)(?: up| now| yet)?(?:[ .,:;!-]*(?:please|try|wait|back"
    r"|in a|the database).{0,80})?|database is not ready|(?:running|applying) (?:database )?migrations.{0,60}",
    re.IGNORECASE,
)
_OUT_OF_SERVICE = re.compile(
    r"bad gateway|gateway time-?out|service (?:is )?(?:temporarily |currently )?unavailable"
    r"|temporarily (?:unavailable|down|offline)|under maintenance|(?:scheduled |down for |in )maintenance"
    r"|maintenance (?:mode|page|break|in progress)|\bmaintenance\b|be (?:right )?back (?:soon|shortly)"
    r"|no available server|no healthy upstream|upstream connect error|web server is down"
    r"|origin (?:is unreachable|error|dns error)|connection timed out|host error|tunnel error"
    r"|internal server error|application (?:error|failed to respond)|server (?:error|is starting|unavailable)"
    r"|backend fetch failed|no server is available|starting up",
    re.IGNORECASE,
)
_NOT_REGISTERED = re.compile(r"\bis not registered\b|\bnot registered for\b", re.IGNORECASE)
_ROUTER_404 = re.compile(
    r"404 page not found|default backend - 404|application not found|no such app|cannot post /|no route matched"
    r"|(?:tunnel|endpoint) .{0,120}(?:not found|is offline)",
    re.IGNORECASE,
)
_OWN_TROUBLE = re.compile(
    r"database|sqlite_|connection (?:terminated|pool|is closed|refused|timeout)|could not (?:get"
    r"|obtain) (?:a )?connection|timeout exceeded when trying to connect|econnrefused|econnreset"
    r"|too many (?:clients|connections)|redis|shutting down|is starting up|not ready",
    re.IGNORECASE,
)


def is_n8n_down(status: int, headers: Mapping[bytes, bytes], body: bytes) -> bool:
    """Whether an answer says that n8n is down or busy, so that the message waits and nothing is charged.

    Args:
        status: HTTP status of the answer.
        headers: of the answer, names in lower case.
        body: as it came.
    """
    if status in BUSY_STATUSES:
        return True
    if status >= 500:
        return status != 500 or not _is_workflow_error(_read(headers, body))
    if status == 404:
        return _is_passing_404(_read(headers, body))
    return 200 <= status < 300 and is_down_page(_read(headers, body))


def is_reached(status: int, headers: Mapping[bytes, bytes], body: bytes) -> bool:
    """Whether the answer to a probe shows that n8n, or at least its proxy, serves again.

    The probe names a webhook that does not exist, so a 404 or a refused method is n8n's usual answer.
    """
    return status in (404, 405, 501) or not is_n8n_down(status, headers, body)


def outage_scope(status: int, headers: Mapping[bytes, bytes], body: bytes) -> OutageScope:
    """What an answer for which `is_n8n_down` holds says about the workflow, and about all others.

    A workflow can answer with a status such as 503 itself, in JSON. A page of HTML, or words such as
    "Bad Gateway", come from a proxy.
    """
    if may_have_run(status):
        return OutageScope.MAY_HAVE_RUN
    if status == 404:
        return OutageScope.NOT_RUN
    text = _read(headers, body)
    is_page = is_markup(text) or (_as_json(text) is None and bool(_OUT_OF_SERVICE.search(text[:_LONGEST_WORDS])))
    return OutageScope.N8N if status >= 500 and is_page else OutageScope.WORKFLOW


def may_have_run(status: int) -> bool:
    """Whether a status of an n8n that is down leaves open that the workflow ran: a proxy only stopped waiting."""
    return status in _MAYBE_RUN


def is_down_page(text: str) -> bool:
    """Whether a body with a good status says in n8n's or a proxy's words that n8n does not serve yet."""
    if len(text) > _LONGEST_PAGE or not text.strip():
        return False
    if text.lstrip()[0] in "{[" and '"code"' not in text:
        return False  # an ordinary answer is not parsed twice
    value = _as_json(text)
    if isinstance(value, dict):
        code, message = value.get("code"), value.get("message")
        return code in (502, 503, 504) and isinstance(message, str) and bool(_STARTING.search(message))
    if value is not None:
        return False
    if is_markup(text):
        written = re.sub(r"<[^<>]*>", " ", text[:4096])[:_LONGEST_WORDS]
        words = find_title(text) or written
        return bool(_STARTING.search(words) or _STARTING.search(written) or _OUT_OF_SERVICE.search(words))
    words = " ".join(text.split())
    plain = words.rstrip(".!… ")
    return len(words) <= _LONGEST_SENTENCE and bool(
        _STARTING_SENTENCE.fullmatch(plain) or _OUT_OF_SERVICE.fullmatch(re.sub(r"^5\d\d[ :-]*", "", plain))
    )


def describe_rejection(status: int, headers: Mapping[bytes, bytes], body: bytes) -> str:
    """What a status that is no success means and what to do: it follows "n8n answered HTTP …:"."""
    if status < 400:
        return "it redirects, which is not followed: set n8n.base_url to where it leads"
    text = _read(headers, body)
    message = _message(text).casefold()
    for pattern, advice in _MESSAGES.get(status, ()):
        if re.search(pattern, message):
            return advice
    if is_n8n_down(status, headers, body):
        return "n8n does not serve now, or the proxy before it does not reach it: is it running"
    if status == 401 and headers.get(b"www-authenticate", b"").lower().startswith(b"basic"):
        return "the webhook asks for Basic Auth: set n8n.username and n8n.password"
    return _ADVICE.get(status, "the workflow answered with this status itself: see its Respond to Webhook node")


_MESSAGES: dict[int, tuple[tuple[str, str], ...]] = {
    403: (
        (
            "authorization data is wrong",
            (
                "n8n wants other credentials, or takes us for a bot: set n8n.api_key, or turn off the webhook's "
                "'Ignore Bots'"
            ),
        ),
    ),
    404: (
        ("not registered for .{1,10} requests", "the webhook takes another method: set its HTTP Method to POST"),
        (
            "not registered",
            "n8n knows no such webhook, or not yet: is the workflow active, and the agent's path right",
        ),
    ),
    500: (
        (
            "no item to return",
            "the workflow ran, and its last node passed nothing on: turn on 'Always Output Data' there",
        ),
        (
            "unused respond to webhook",
            (
                "the Webhook node does not wait for Respond to Webhook: set Respond to 'Using Respond to Webhook "
                "Node'"
            ),
        ),
        (
            "timed out|cancelled",
            "n8n stopped the workflow: raise its timeout in the workflow's settings, or make it faster",
        ),
        ("", "the workflow failed: see its executions in n8n"),
    ),
}
_ADVICE = {
    401: "n8n wants other credentials: set n8n.api_key, n8n.header_name and header_value, or n8n.bearer_token",
    403: "n8n wants other credentials, or a proxy before it refuses us: set n8n.api_key",
    404: "nothing answers at this address: is the agent's webhook path right, and its chat public",
    405: "the webhook takes another method: set its HTTP Method to POST",
    413: "the message with its history is larger than n8n takes",
    422: "n8n could not read the body",
    428: "the chat asks its visitor to connect credentials first: use a workflow with credentials of its own",
}


def _is_workflow_error(text: str) -> bool:
    """Whether a 500 is a workflow's: JSON, and not about n8n's own database, Redis or shutdown."""
    value = _as_json(text)
    if value is None:
        return text.lstrip().startswith("{") or recognize_sentence(text.strip()) is not None
    return not ("code" in value and _OWN_TROUBLE.search(_message(text))) if isinstance(value, dict) else True


def _is_passing_404(text: str) -> bool:
    """Whether a 404 may pass: n8n has not registered the webhook yet, or a proxy has no n8n to lead to."""
    value = _as_json(text)
    if value is not None:
        message = _message(text)
        return bool(_NOT_REGISTERED.search(message) or re.fullmatch(r"application not found\.?", message.lower()))
    return is_markup(text) or (len(text) <= _LONGEST_WORDS and bool(_ROUTER_404.match(" ".join(text.split()))))


def _message(text: str) -> str:
    value = _as_json(text)
    told = value.get("message") if isinstance(value, dict) else None
    return told[:2000] if isinstance(told, str) else ""


def _as_json(text: str) -> Any:
    try:
        return parse_json(text) if text.lstrip()[:1] in ("{", "[") else None
    except NotJson:
        return None


def _read(headers: Mapping[bytes, bytes], body: bytes) -> str:
    """The beginning of a body as text, unpacked where it is compressed; never a failure."""
    if body.startswith(b"\x1f\x8b") or b"deflate" in headers.get(b"content-encoding", b"").lower():
        try:
            body = zlib.decompressobj(47).decompress(body, _LONGEST_PAGE + 1)
        except zlib.error:
            return ""
    body = body[: _LONGEST_PAGE + 1]
    encoding = "utf-16" if body.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    return body.decode(encoding, "replace")
