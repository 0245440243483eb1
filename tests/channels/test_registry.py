"""Channels that others add, by a call or by an entry point."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemons.gateway.http.openapi import build_document
from msgctl.channels.base import ChannelSpec
from msgctl.channels.error_codes import Code, Meaning
from msgctl.channels.names import channel_names
from msgctl.channels.registry import BUILT_IN, find_channel, register, unregister
from msgctl.config.base import Section
from msgctl.config.settings import Settings
from msgctl.config.sources import load
from msgctl.delivery.error_help import advise
from msgctl.domain.errors import ConfigurationError, InvalidInput
from msgctl.domain.extensions import ADDED_CHANNELS, CHANNELS
from msgctl.domain.messages import Channel
from msgctl.intake.accept import parse_submission

BODY = b'{"agentId": "00000000-0000-4000-8000-000000000000", "message": "oi", "channel": "sms"}'
MODULE = """
from msgctl.channels.base import ChannelSpec
CHANNEL = ChannelSpec(name="sms", is_configured=lambda _: True, address_field="number")
"""


class SmsSettings(Section):
    """The table `[channels.sms]`."""

    token: str = ""
    """The provider's token."""


SMS = ChannelSpec(
    name="sms",
    is_configured=lambda settings: "sms" in settings.channels,
    settings_model=SmsSettings,
    error_codes={"sms": {7: Code(Meaning.NEVER, "The number does not exist.")}},
    error_advice={"sms_no_id": "The provider gave no id."},
)


@pytest.fixture
def sms() -> Iterator[ChannelSpec]:
    """A channel that a call registers."""
    register(SMS)
    yield SMS
    unregister("sms")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A distribution on `sys.path` whose entry point adds a channel."""
    info = tmp_path / "smsway-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: smsway\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[msgctl.channels]\nsms = smsway_channel:CHANNEL\n")
    monkeypatch.syspath_prepend(tmp_path)
    CHANNELS.rescan()
    yield tmp_path
    monkeypatch.undo()
    sys.modules.pop("smsway_channel", None)
    CHANNELS.rescan()


def test_unknown_channel_is_refused_by_name() -> None:
    """Without an extension the set of channels is that which msgctl ships."""
    assert channel_names() == tuple(Channel) == tuple(spec.name for spec in BUILT_IN)
    with pytest.raises(InvalidInput) as refused:
        parse_submission(BODY)
    assert refused.value.details == [{"field": "channel", "problem": "Invalid enum value 'sms'"}]


def test_registered_channel_is_accepted_described_and_explained(sms: ChannelSpec) -> None:
    """A registered name is valid in a message and in the OpenAPI document; its error codes are explained."""
    assert parse_submission(BODY).channel is Channel("sms")
    assert channel_names()[-1] == "sms"
    assert find_channel("sms") is sms
    assert "sms" in build_document()["components"]["schemas"]["Channel"]["enum"]
    assert advise("sms_7") == "7: The number does not exist. It will not be retried."
    assert advise("sms_no_id") == "The provider gave no id."


def test_settings_of_a_registered_channel_are_validated_by_its_model(sms: ChannelSpec) -> None:
    """`[channels.sms]` becomes an instance of the model that the channel names."""
    settings = Settings.model_validate({"channels": {"sms": {"token": "t"}}})
    assert settings.channels["sms"] == SmsSettings(token="t")
    assert sms.is_configured(settings)
    with pytest.raises(ValueError, match="tokn"):
        Settings.model_validate({"channels": {"sms": {"tokn": "t"}}})


def test_built_in_name_cannot_be_registered() -> None:
    """A channel that msgctl ships cannot be replaced."""
    with pytest.raises(ValueError, match="ships with msgctl"):
        register(ChannelSpec(name="telegram", is_configured=lambda _: True))


def test_entry_point_adds_a_channel(installed: Path) -> None:
    """An installed distribution adds a channel; its module is imported only when the channel is asked for."""
    (installed / "smsway_channel.py").write_text(MODULE)
    assert parse_submission(BODY).channel == "sms"
    assert find_channel("sms").address_field == "number"


def test_line_in_the_registry_adds_a_channel_with_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in the tree needs one line, and its settings are read from the environment."""
    with monkeypatch.context() as patch:
        patch.setitem(ADDED_CHANNELS, "sms", "tests.channels.sms:CHANNEL")
        CHANNELS.rescan()
        assert parse_submission(BODY).channel is Channel("sms")
        settings = load(environ={"MSGCTL_CHANNELS_SMS_MAX_CHARS": "70"}).settings
        assert settings.channels["sms"].model_dump()["max_chars"] == 70
        assert find_channel("sms").is_configured(settings)
    CHANNELS.rescan()


def test_broken_entry_point_is_named(installed: Path) -> None:
    """The error names the channel, its entry point and its distribution."""
    with pytest.raises(
        ConfigurationError, match=r"'sms'.*'smsway_channel:CHANNEL' of smsway.*ModuleNotFoundError"
    ):
        find_channel("sms")
