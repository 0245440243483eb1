"""The description of a channel, which all of msgctl loops over, and the protocol of its sender."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from msgctl.channels.error_codes import Code
from msgctl.channels.send_limits import Bucket, SendLimits
from msgctl.channels.text.styled import TextPart
from msgctl.channels.webhook import Webhook
from msgctl.config.base import Section
from msgctl.config.settings import Settings
from msgctl.domain.messages import Response

if TYPE_CHECKING:
    from msgctl.http.client import HttpClient  # importing aiohttp takes 0.3 s, which the command line must not pay


class ChannelSender(Protocol):
    """Delivers responses to one channel."""

    idempotent: ClassVar[bool]
    """Whether the receiver deduplicates, so that an unknown outcome can be resolved by resending."""

    @property
    def schedule(self) -> Sequence[float] | None:
        """Seconds before each attempt, including the first; None: `delivery.attempts` and `retry.*` apply."""
        ...

    def send_limits(self, response: Response) -> SendLimits:
        """Return the limits that a send of this response must respect.

        Raises:
            DeliveryFailed: the response has no address.
        """
        ...

    def unknown_policy(self, response: Response) -> str:
        """Return the policy for a send of unknown outcome: `resend`, `hold`, `reconcile` or `keep`."""
        ...

    async def find_sent(self, response: Response, part: TextPart, since: float) -> str | None:
        """Ask the provider whether a part arrived; return its id, or None if the provider knows that it did not.

        Args:
            response: the response of the part.
            part: the part.
            since: the Unix second in which it was sent.

        Raises:
            DeliveryFailed: the provider gave no answer.
        """
        ...

    def parts(self, response: Response) -> list[TextPart]:
        """Return the text in parts that the provider accepts; none if a reader would see nothing.

        It is pure, and may run in a thread. `msgctl.channels.text.reply.compose_reply` makes the parts. Those of a
        text of several are stored before the first is sent, so that a later attempt sends the same ones.

        Raises:
            DeliveryFailed: the text cannot be sent.
        """
        ...

    async def send(self, response: Response, part: TextPart, *, first: bool) -> str:
        """Send one part and return the provider's id of it, empty if it has none.

        Args:
            response: the response; its `channelMetadata` holds the address.
            part: the part.
            first: whether it is the first part.

        Raises:
            DeliveryFailed: it did not arrive, or its outcome is unknown (`DeliveryUnknown`).
        """
        ...


class ReplyWindow(NamedTuple):
    """The time after a customer's message in which a provider accepts a free reply."""

    seconds: float
    closed: str
    """The sentence that tells an operator that the window is closed."""


class SettingsProblem(NamedTuple):
    """A mistake in a channel's settings, as `msgctl doctor` reports it."""

    what: str
    why: str
    """What follows from it."""
    remedy: str
    """The command or the setting that fixes it."""


def _no_buckets(_: Settings) -> tuple[Bucket, ...]:
    return ()


def _no_agent(_: Settings, __: Mapping[str, Any]) -> str:
    return ""


def _no_problems(_: Settings) -> tuple[SettingsProblem, ...]:
    return ()


@dataclass(frozen=True, kw_only=True)
class ChannelSpec:
    """Everything msgctl knows of one channel.

    Args:
        name: stands in messages, Redis keys, metrics and commands.
        is_configured: whether there are credentials to send with.
        create_sender: makes the sender from the settings, a client for the provider's and the operator's own
            hosts, and a client that reaches public addresses only. It imports the sender's module when it is
            called, because that takes aiohttp. None: responses go to the sockets of the gateways.
        settings_model: validates the table `[channels.NAME]`, and every setting of it has a default; the validated
            table is `settings.channels[NAME]`, absent where nothing of it is set. None: there is none.
        webhooks: where the provider calls.
        address_field: the field of `channelMetadata` that says where to.
        example_address: an address, as `msgctl channel test --to` takes it.
        sender_field: the field of `channelMetadata` that chooses among several senders.
        parse_address: turns the address of `msgctl channel test` into the field's value.
        error_codes: by prefix of an error code, the provider's error numbers, e.g. `telegram` for `telegram_403`.
        error_advice: one sentence for each further error code.
        rate_buckets: the rates of everything that may send.
        check_settings: what is wrong with the settings.
        reply_window: None where a reply is taken at any time.
        has_gone_urls: whether a URL that answers 410 is disabled.
        requires_grant: whether only some users may send through it, because its senders belong to somebody.
        find_agent: returns the id of the agent that answers at the sender which a message's `channelMetadata`
            chooses; empty if there is none.
        alternative_address_fields: fields that may hold the address instead of `address_field`.
    """

    name: str
    is_configured: Callable[[Settings], bool]
    create_sender: "Callable[[Settings, HttpClient, HttpClient], ChannelSender] | None" = None
    settings_model: type[Section] | None = None
    webhooks: tuple[Webhook, ...] = ()
    address_field: str = ""
    example_address: str = ""
    sender_field: str = "from"
    parse_address: Callable[[str], Any] = str
    error_codes: Mapping[str, Mapping[int, Code]] = field(default_factory=dict)
    error_advice: Mapping[str, str] = field(default_factory=dict)
    rate_buckets: Callable[[Settings], Iterable[Bucket]] = _no_buckets
    check_settings: Callable[[Settings], Iterable[SettingsProblem]] = _no_problems
    reply_window: ReplyWindow | None = None
    has_gone_urls: bool = False
    requires_grant: bool = True
    find_agent: Callable[[Settings, Mapping[str, Any]], str] = _no_agent
    alternative_address_fields: tuple[str, ...] = ()
