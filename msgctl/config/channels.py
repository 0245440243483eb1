"""The settings of delivery, of each provider, and of inbound messages."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, field_validator

from msgctl.config.base import Seconds, Section
from msgctl.config.callback_secret import CallbackSecrets
from msgctl.config.identities import (
    BearerSecret,
    BotTokens,
    DigitId,
    Sender,
    TidySecret,
    TidyText,
    tidy,
    tidy_public_url,
    tidy_route,
)

PauseSeconds = Annotated[float, Field(ge=0, le=604_800)]
MessagesPerSecond = Annotated[float, Field(gt=0, le=10_000)]
UUID_REGEX = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
OptionalAgentId = Annotated[str, BeforeValidator(tidy), Field(pattern=rf"^$|^{UUID_REGEX}$")]
InboundRoute = Annotated[
    str,
    BeforeValidator(tidy_route),
    Field(pattern=rf"^(telegram:[0-9]+|whatsapp:[0-9]+|twilio:\+[0-9]+)={UUID_REGEX}$"),
]


class DeliverySettings(Section):
    """The subscriber, which delivers responses to their channels."""

    concurrency: int = Field(50, ge=1, le=5000)
    """Deliveries that one subscriber processes at the same time."""
    takeover: Seconds = 60.0
    """Seconds without a sign of life after which another subscriber takes over the responses of a subscriber."""
    timeout: Seconds = 15.0
    """Seconds that one call of a provider or callback may take in total."""
    attempts: int = Field(8, ge=1, le=100)
    """Attempts before a delivery counts as failed. A request that a rate limit turns away is not an attempt."""
    hold: Seconds = 60.0
    """Seconds that a delivery with an unknown outcome (UNKNOWN) waits before its provider's `unknown` applies."""
    max_stream: Annotated[int, Field(ge=1000, le=10_000_000)] = 100_000
    """Delivered responses that the stream keeps. A response that is not delivered is never removed."""


class WhatsAppSettings(Section):
    """WhatsApp through Meta's Cloud API or Twilio."""

    provider: Literal["cloud", "twilio"] = "cloud"
    """The provider of a message whose `channelMetadata.provider` names none."""
    base_url: str = "https://graph.facebook.com"
    """The base URL of the Graph API."""
    version: str = "v23.0"
    """The version of the Graph API."""
    phone_number_id: DigitId = ""
    """The sender: the id of the business phone number. A number of `[inbound] routes` sends instead if the
    message's `channelMetadata.from` names it."""
    token: BearerSecret = SecretStr("")
    """The access token of the Cloud API."""
    rate: MessagesPerSecond = 80.0
    """Messages per second that the number may send. The limit for one customer is 1 in 6 s, with bursts of 45."""
    unknown: Literal["resend", "hold", "reconcile", "keep"] = "reconcile"
    """What to do after an unknown outcome. `reconcile` waits for the status webhook and leaves the delivery
    UNKNOWN if none comes. `resend` and `hold` send once more, soon or after `delivery.hold`. `keep` leaves it to
    an operator."""
    agent: OptionalAgentId = ""
    """The id of the agent that answers messages to `phone_number_id`. For other numbers see `[inbound] routes`."""
    app_secret: TidySecret = SecretStr("")
    """The app secret, with which the signatures of Meta's webhooks are verified. Empty: the webhook is closed."""
    verify_token: TidySecret = SecretStr("")
    """The verify token that you entered in Meta's form beside the URL of the webhook."""


class TwilioSettings(Section):
    """Twilio's Programmable Messaging, for WhatsApp."""

    base_url: str = "https://api.twilio.com"
    """The base URL of the REST API."""
    account_sid: TidyText = ""
    """The SID of the account."""
    auth_token: TidySecret = SecretStr("")
    """The auth token of the account."""
    sender: Sender = ""
    """The sender in E.164, e.g. +14155238886. A number of `[inbound] routes` sends instead if the message's
    `channelMetadata.from` names it."""
    rate: MessagesPerSecond = 80.0
    """Messages per second that the sender may send."""
    unknown: Literal["resend", "hold", "reconcile", "keep"] = "reconcile"
    """What to do after an unknown outcome. `reconcile` searches Twilio's list and sends once more if the message
    is missing. `resend` and `hold` send once more, soon or after `delivery.hold`. `keep` leaves it to an
    operator."""
    agent: OptionalAgentId = ""
    """The id of the agent that answers messages to `sender`. For other numbers see `[inbound] routes`."""
    public_url: Annotated[str, BeforeValidator(tidy_public_url)] = Field(
        "", pattern=r"^$|^https?://[^\s?#]+[^\s?#/]$"
    )
    """The URL at which Twilio reaches the gateway, e.g. https://chat.example.com. Signatures cover it. Empty: the
    webhook is closed."""


class TelegramSettings(Section):
    """Telegram bots."""

    base_url: str = "https://api.telegram.org"
    """The base URL of the Bot API."""
    token: BotTokens = SecretStr("")
    """The token of the bot, or the tokens of several bots separated by spaces. The first bot sends a message whose
    `channelMetadata.bot` names none."""
    rate: MessagesPerSecond = 30.0
    """Messages per second that a bot may send in total."""
    chat_rate: MessagesPerSecond = 1.0
    """Messages per second to one chat. The limit for a group is 20 per minute."""
    unknown: Literal["resend", "hold", "keep"] = "hold"
    """What to do after an unknown outcome. `resend` and `hold` send once more, immediately or after
    `delivery.hold`. `keep` leaves it to an operator. Telegram offers no way to look a message up."""
    agent: OptionalAgentId = ""
    """The id of the agent that answers messages to the first bot. For other bots see `[inbound] routes`."""
    webhook_secret: TidySecret = SecretStr("")
    """The `secret_token` given to setWebhook, 1 to 256 characters of A-Z a-z 0-9 _ -. Empty: the webhook is
    closed."""

    usernames: list[Annotated[str, Field(pattern=r"^@?[A-Za-z0-9_]{3,64}$")]] = Field(default=[])
    """The user names of the bots, in the order of their tokens. A command in a group that names another bot, such
    as `/help@other_bot`, is not answered. Empty: Telegram is asked for the names."""

    @field_validator("usernames", mode="after")
    @classmethod
    def _without_at(cls, names: list[str]) -> list[str]:
        return [name.removeprefix("@") for name in names]

    @property
    def bots(self) -> dict[str, str]:
        """The token of each bot by the bot's id, in the configured order."""
        return {token.partition(":")[0]: token for token in self.token.get_secret_value().split()}


class CallbackSettings(Section):
    """The HTTP callback of channel `api`, signed as Standard Webhooks specifies."""

    secret: CallbackSecrets = SecretStr("")
    """The signing secret: `whsec_` and 24 to 64 bytes in base64. To replace it, set the new and the old secret
    with a space between them. Each callback is then signed with both. Empty: deliveries to channel `api` fail."""
    schedule: list[PauseSeconds] = Field(default=[0, 5, 300, 1800, 7200, 18_000, 36_000, 36_000], min_length=1)
    """Seconds before each attempt, including the first."""
    gone: Seconds = 604_800.0
    """Seconds during which a URL that answered 410 is not called."""
    allowed_hosts: list[str] = Field(default=[])
    """Hosts that may be called although their address is private or their URL is not https, each `host` or
    `host:port`."""


class InboundSettings(Section):
    """Messages from customers on WhatsApp and Telegram."""

    routes: list[InboundRoute] = Field(default=[])
    """The agents that answer messages to further bots and numbers, each `telegram:BOT=AGENT`,
    `whatsapp:PHONE_NUMBER_ID=AGENT` or `twilio:+NUMBER=AGENT`, where AGENT is the id of the agent. The message
    belongs to the user who owns the agent."""
    edits: bool = False
    """Whether a text that the customer edited is answered again. Otherwise the edit is counted and logged."""
    groups: bool = False
    """Whether texts in WhatsApp groups are answered, in the group. Otherwise they are counted and logged. Which
    messages of a group a Telegram bot receives is decided by its privacy mode."""
    unreadable: str = Field("", max_length=1000)
    """The reply to a message without text, such as a voice message or a picture without a caption, e.g.
    `Sorry, I can only read text.` It is sent at most once per minute. Empty: no reply. Such a message is always
    counted and logged."""

    def find_agent(self, provider: str, sender: str, default: tuple[str, str]) -> str:
        """Return the id of the agent that answers at a sender, or an empty text.

        Args:
            provider: `telegram`, `whatsapp`, or `twilio`.
            sender: the bot or number.
            default: the sender that the provider's own section configures, and its agent.
        """
        default_sender, default_agent = default
        return self.agents(provider).get(sender, "") or (default_agent if sender == default_sender else "")

    def agents(self, provider: str) -> dict[str, str]:
        """Return the agents of one provider's routes by bot or number."""
        return dict(
            route.removeprefix(f"{provider}:").split("=")
            for route in self.routes
            if route.startswith(f"{provider}:")
        )
