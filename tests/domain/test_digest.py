"""The digest of a message stays what it is across versions, so that a repetition stays a repetition."""

import msgspec
import pytest

from msgctl.domain.messages import DIGEST_V1, DIGEST_V1_CONSTANTS, Channel, Message

PLAIN = Message(
    message_id="m1",
    conversation_id="c1",
    agent_id="a1",
    user_id="ana",
    message='Olá 👋 "tudo" bem?\n',
    timestamp="2026-01-01T00:00:00.000Z",
)
FULL = Message(
    message_id="",
    conversation_id="",
    agent_id="a1",
    user_id="ana",
    message='Olá 👋 "tudo" bem?\n',
    channel=Channel.WHATSAPP,
    channel_metadata={"phone": "+5511999999999", "b": [1, 2.5, None, True], "a": {"z": 1, "a": "ü"}},
    priority=1,
    timestamp="2026-01-01T00:00:00.000Z",
)
GOLDEN = [
    (PLAIN, "31a286c9e7ba2344d72f9b35c91dee5858523c3d1de64337fc317dd8c4fd9a28"),
    (FULL, "e1de95732a76f8266125ef24f88e2eb17c11dd4d0bd96d1e17f4c978893c5fe0"),
]
"""Digests as version 0.1.0 stored them. They never change: Redis holds such digests when a new version starts."""


class LaterMessage(Message, kw_only=True, frozen=True):
    """A message of a later version, with an optional field."""

    attachment: str | None = None


@pytest.mark.parametrize(("message", "digest"), GOLDEN, ids=["plain", "full"])
def test_digest_equals_the_stored_one(message: Message, digest: str) -> None:
    """A message accepted before an upgrade and repeated after it is no conflict."""
    assert message.digest() == digest


@pytest.mark.parametrize(("message", "digest"), GOLDEN, ids=["plain", "full"])
def test_optional_field_leaves_the_digest_alone(message: Message, digest: str) -> None:
    """A version that knows one more field computes the same digest."""
    later = LaterMessage(**msgspec.structs.asdict(message))
    assert later.digest() == digest


def test_every_field_of_version_1_counts() -> None:
    """Changing one changes the digest; the time of acceptance alone does not count."""
    changed = {"channel": Channel.API, "channel_metadata": {"a": 1}, "priority": 9}
    for _, name in DIGEST_V1:
        other = msgspec.structs.replace(PLAIN, **{name: changed.get(name, "other")})
        assert other.digest() != PLAIN.digest(), name
    assert msgspec.structs.replace(PLAIN, timestamp="later").digest() == PLAIN.digest()


def test_digested_names_are_those_of_the_wire() -> None:
    """Each field stands in the digested JSON under the name that it has in the message's own."""
    wire_names = {field.name: field.encode_name for field in msgspec.structs.fields(Message)}
    assert all(wire_names[name] == wire_name for wire_name, name in DIGEST_V1)
    assert not DIGEST_V1_CONSTANTS.keys() & dict(DIGEST_V1).keys()
