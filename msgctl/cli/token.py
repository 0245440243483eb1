"""`msgctl token`: tokens for the gateway."""

from typing import Annotated

import typer

from msgctl import tokens
from msgctl.cli._context import context_of
from msgctl.cli._noun import noun
from msgctl.cli._output import RecordOutput, RecordShape, print_json, print_text
from msgctl.cli._time import parse_duration

app = noun("Tokens for the gateway.")


@app.command(epilog='Example: curl -H "Authorization: Bearer $(msgctl token issue --user ana)" ...')
def issue(
    context: typer.Context,
    user: Annotated[str, typer.Option(help="Whose token: its `sub`.")],
    lifetime: Annotated[
        str, typer.Option(metavar="DURATION", help="How long it is good for: 15m, 1h, 30d.")
    ] = "1h",
    output: RecordOutput = RecordShape.TABLE,
) -> None:
    """Issue a token and print it alone. It is a secret: whoever has it is that user."""
    token = tokens.issue(context_of(context).load(), user, parse_duration(lifetime))
    if output is RecordShape.JSON:
        print_json({"token": token})
    else:
        print_text(token)
