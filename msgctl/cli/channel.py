"""`msgctl channel`: the ways to a customer."""

from typing import Any

import typer

from msgctl.cli._noun import noun
from msgctl.cli._output import Output, Shape, note, print_listing
from msgctl.cli._session import Session, run
from msgctl.config import Settings
from msgctl.messages import Channel

app = noun("The ways to a customer.")

COLUMNS = {"channel": "channel", "configured": "configured", "backlog": "to deliver"}


@app.command("list", epilog="Example: msgctl channel list")
def list_channels(context: typer.Context, output: Output = Shape.TABLE) -> None:
    """Each channel: whether it has what it needs to send, and what is still to be delivered on it."""

    async def body(session: Session) -> tuple[list[dict[str, Any]], bool]:
        snapshot = await session.operations.overview.read()
        backlog = {row.channel: row.backlog for row in snapshot.channels}
        ready = _configured(session.settings)
        records = [
            {"channel": str(channel), "configured": ready[channel], "backlog": backlog.get(channel, 0)}
            for channel in Channel
        ]
        return records, snapshot.backlog_is_partial

    records, partial = run(context, body)
    if partial and output is Shape.TABLE:
        note("Of a long backlog only the newest are counted by channel.")
    print_listing(
        records, output, schema="msgctl.channel/1", columns=COLUMNS, key="channel", extra={"partial": partial}
    )


def _configured(settings: Settings) -> dict[Channel, bool]:
    cloud = bool(settings.whatsapp.token.get_secret_value() and settings.whatsapp.phone_number_id)
    twilio = bool(settings.twilio.auth_token.get_secret_value() and settings.twilio.account_sid)
    return {
        Channel.WEB: True,
        Channel.WHATSAPP: cloud or twilio,
        Channel.TELEGRAM: bool(settings.telegram.token.get_secret_value()),
        Channel.API: bool(settings.callback.secret.get_secret_value()),
    }
