"""One entry of the durable stream, checked: a response, or the news that a message is a dead letter."""

from dataclasses import dataclass

import msgspec

from msgctl.domain.messages import Channel, Failure, Response
from msgctl.observability import logs

log = logs.get_logger(__name__)

_stored_response_decoder = msgspec.json.Decoder(Response)
_stored_failure_decoder = msgspec.json.Decoder(Failure)


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """What the stream holds under one id."""

    id: str
    event: Response | Failure
    body: str
    """The event as the stream has it, JSON."""
    sockets_reached: int = 0
    """Sockets that the commit has handed it to; 0: it is to be handed on."""

    @property
    def channel(self) -> Channel:
        """Where it goes."""
        return self.event.channel


def parse_entry(entry_id: str, fields: dict[str, str]) -> StreamEntry | None:
    """Check a raw entry; one that cannot be understood is logged, without its text, and is None."""
    body = fields.get("body", "")
    try:
        event = (_stored_failure_decoder if fields.get("kind") == "failure" else _stored_response_decoder).decode(
            body
        )
    except msgspec.DecodeError as error:
        problem = str(error)
        log.error("Entry of the stream cannot be read; it is passed over", entry=entry_id, error=problem)  # noqa: TRY400 - a traceback says no more
        return None
    reached = fields.get("reached", "")
    return StreamEntry(entry_id, event, body, int(reached) if reached.isdecimal() else 0)


def with_stream_id(entry: StreamEntry, response: Response) -> Response:
    """The response with the id of the stream entry that first carried it."""
    return response if response.stream_id else msgspec.structs.replace(response, stream_id=entry.id)
