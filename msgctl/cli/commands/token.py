"""`msgctl token`: issue and inspect tokens for the gateway."""

import sys
import time
from typing import Annotated

import typer

from msgctl.auth import tokens
from msgctl.cli.framework.context import global_options_of
from msgctl.cli.framework.help import make_noun_group
from msgctl.cli.framework.options import RecordFormat, RecordOutputOption
from msgctl.cli.framework.output import print_json, print_note, print_record, print_text
from msgctl.cli.framework.times import format_rfc3339
from msgctl.domain.errors import Unauthorized
from msgctl.domain.times import format_duration, parse_duration

app = make_noun_group("Issue and inspect tokens for the gateway.")


@app.command(epilog="Example: TOKEN=$(msgctl token issue --user ana)")
def issue(
    context: typer.Context,
    user: Annotated[str, typer.Option(help="User of the token, its `sub`.")],
    lifetime: Annotated[str, typer.Option(metavar="DURATION", help="Lifetime of the token: 15m, 1h, 30d.")] = "1h",
    scope: Annotated[
        list[str] | None,
        typer.Option(help="Further permission, e.g. channels or channels:whatsapp. Repeat it for several."),
    ] = None,
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """Issue a token and print it. Keep it secret, because it grants the rights of the user."""
    token = tokens.issue(global_options_of(context).load(), user, parse_duration(lifetime), scope or ())
    if output is RecordFormat.JSON:
        print_json({"schema": "msgctl.issued-token/1", "token": token})
    else:
        print_text(token)


@app.command(epilog="Example: msgctl token issue --user ana | msgctl token inspect -")
def inspect(
    context: typer.Context,
    token: Annotated[
        str, typer.Argument(help="The token; - reads it from standard input, which keeps it out of `ps`.")
    ],
    output: RecordOutputOption = RecordFormat.TABLE,
) -> None:
    """Show the claims of a token. Exit code 6, with the reason, if the gateway does not accept it."""
    text = sys.stdin.readline().strip() if token == "-" else token  # noqa: S105 - not a password
    claims = tokens.decode_unverified(text)
    accepted = True
    try:
        tokens.verify(global_options_of(context).load(), text)
    except Unauthorized:
        accepted = False
    expires = claims.get("exp")
    moment = expires * 1000 if isinstance(expires, int | float) else None
    record = {**claims, "expiresAt": format_rfc3339(moment), "accepted": accepted}
    print_record(record, output, schema="msgctl.token/1")
    if not accepted:
        raise Unauthorized(f"The gateway refuses the token: {_rejection_reason(moment)}")
    print_note(f"Valid for another {format_duration((moment or 0) / 1000 - time.time())}.")


def _rejection_reason(expires_at: float | None) -> str:
    if expires_at is None:
        return "it is not a token, or it has no expiry."
    if expires_at / 1000 <= time.time():
        return "it has expired."
    return "its signature, algorithm, issuer, audience or subject does not match [auth]."
