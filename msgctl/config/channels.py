"""The settings of what goes out, and comes in, by the channels: the subscriber's own, and each provider's."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from msgctl.config.base import Seconds, Section

PauseSeconds = Annotated[float, Field(ge=0, le=604_800)]
MessagesPerSecond = Annotated[float, Field(gt=0, le=10_000)]
UUID_REGEX = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
OptionalAgentId = Annotated[str, Field(pattern=rf"^$|^{UUID_REGEX}$")]
InboundRoute = Annotated[str, Field(pattern=rf"^(telegram:[0-9]+|whatsapp:[0-9]+|twilio:\+[0-9]+)={UUID_REGEX}$")]


class DeliverySettings(Section):
    """The process that takes responses to their channels."""

    concurrency: int = Field(50, ge=1, le=5000)
    """Deliveries one subscriber works at once."""
    takeover: Seconds = 60.0
    """Seconds after which a response that a silent subscriber holds is taken over by another."""
    timeout: Seconds = 15.0
    """Seconds one call of a provider or callback may take in all."""
    attempts: int = Field(8, ge=1, le=100)
    """Tries a delivery gets before it counts as failed. What a rate limit turns away is no try."""
    hold: Seconds = 60.0
    """Seconds a send of doubtful fate (UNKNOWN) waits before its provider's `unknown` is done with it."""
    max_stream: Annotated[int, Field(ge=1000, le=10_000_000)] = 100_000
    """Delivered responses the stream keeps; those not delivered are never cut."""


class WhatsAppSettings(Section):
    """WhatsApp, by Meta's Cloud API or by Twilio."""

    provider: Literal["cloud", "twilio"] = "cloud"
    """Which of the two, where a message's `channelMetadata.provider` does not say."""
    base_url: str = "https://graph.facebook.com"
    """The Graph API."""
    version: str = "v23.0"
    """The version of the Graph API."""
    phone_number_id: str = ""
    """The sender: the id of the business phone number. Those of `[inbound] routes` may send too, where a message's
    `channelMetadata.from` names one."""
    token: SecretStr = SecretStr("")
    """The access token of the Cloud API."""
    rate: MessagesPerSecond = 80.0
    """Messages a second that the number may send; to one customer it is one in 6 s, 45 at once."""
    unknown: Literal["resend", "hold", "reconcile", "keep"] = "reconcile"
    """A send of doubtful fate: `reconcile` waits for the status webhook to tell, and leaves it UNKNOWN where none
    comes; `resend` and `hold` send it again once, soon or after `delivery.hold`; `keep` leaves it to a person."""
    agent: OptionalAgentId = ""
    """The id of the agent that answers what customers write to `phone_number_id`; for others see
    `[inbound] routes`."""
    app_secret: SecretStr = SecretStr("")
    """The app's secret, by which webhooks are known to be Meta's; empty: the webhook is closed."""
    verify_token: SecretStr = SecretStr("")
    """What you typed into Meta's form beside the webhook's URL."""


class TwilioSettings(Section):
    """Twilio's Programmable Messaging, for WhatsApp."""

    base_url: str = "https://api.twilio.com"
    """The REST API."""
    account_sid: str = ""
    """The account's SID."""
    auth_token: SecretStr = SecretStr("")
    """The account's token."""
    sender: str = ""
    """The sender in E.164, e.g. +14155238886. Those of `[inbound] routes` may send too, where a message's
    `channelMetadata.from` names one."""
    rate: MessagesPerSecond = 80.0
    """Messages a second that the sender may send."""
    unknown: Literal["resend", "hold", "reconcile", "keep"] = "reconcile"
    """A send of doubtful fate: `reconcile` looks for it in Twilio's list and sends it once more where it is not
    there; `resend` and `hold` send it again once, soon or after `delivery.hold`; `keep` leaves it to a person."""
    agent: OptionalAgentId = ""
    """The id of the agent that answers what customers write to `sender`; for others see `[inbound] routes`."""
    public_url: str = Field("", pattern=r"^$|^https?://[^\s?#]+[^\s?#/]$")
    """The gateway as Twilio reaches it, e.g. https://chat.example.com: signatures cover it. Empty: the webhook is
    closed."""


class TelegramSettings(Section):
    """A Telegram bot."""

    base_url: str = "https://api.telegram.org"
    """The Bot API."""
    token: SecretStr = SecretStr("")
    """The bot's token; of several bots all tokens, with spaces between. The first bot sends where a message's
    `channelMetadata.bot` names none."""
    rate: MessagesPerSecond = 30.0
    """Messages a second that a bot may send in all."""
    chat_rate: MessagesPerSecond = 1.0
    """Messages a second to one chat. A group gets 20 a minute."""
    unknown: Literal["resend", "hold", "keep"] = "hold"
    """A send of doubtful fate: `resend` and `hold` send it once more, at once or after `delivery.hold`; `keep`
    leaves it to a person. Telegram cannot be asked."""
    agent: OptionalAgentId = ""
    """The id of the agent that answers what users write to the first bot; for others see `[inbound] routes`."""
    webhook_secret: SecretStr = SecretStr("")
    """The `secret_token` given to setWebhook, 1 to 256 of A-Z a-z 0-9 _ -; empty: the webhook is closed."""

    @property
    def bots(self) -> dict[str, str]:
        """Each bot's token by its id, the first bot first."""
        return {token.partition(":")[0]: token for token in self.token.get_secret_value().split()}


class CallbackSettings(Section):
    """The HTTP callback of channel `api`, signed after Standard Webhooks."""

    secret: SecretStr = SecretStr("")
    """Signing secret, `whsec_` and base64 of 24 to 64 bytes. While it is replaced: the new one and the old
    one with a space between, and each callback is signed by both. Empty: channel `api` is refused at delivery."""
    schedule: list[PauseSeconds] = Field(default=[0, 5, 300, 1800, 7200, 18_000, 36_000, 36_000], min_length=1)
    """Seconds before each try, the first one included."""
    gone: Seconds = 604_800.0
    """Seconds for which a URL that answered 410 is not called."""
    allowed_hosts: list[str] = Field(default=[])
    """Hosts that may be called although they are private or not https, each `host` or `host:port`."""


class InboundSettings(Section):
    """What customers write on WhatsApp and Telegram."""

    routes: list[InboundRoute] = Field(default=[])
    """Which agent answers what comes to which further bot or number, each `telegram:BOT=AGENT`,
    `whatsapp:PHONE_NUMBER_ID=AGENT` or `twilio:+NUMBER=AGENT`, with the agent's id. The message is that of the
    agent's user."""
    edits: bool = False
    """Whether a text that a customer has changed is answered once more; if not, it is counted and logged."""
    unreadable: str = Field("", max_length=1000)
    """What a customer is told who sends a voice message, a picture without words or what else is no text, at most
    once a minute, e.g. `Sorry, I can only read text.` Empty: nothing. It is always counted and logged."""

    def agents(self, provider: str) -> dict[str, str]:
        """The agents of one provider's routes, by bot or number."""
        return dict(
            route.removeprefix(f"{provider}:").split("=")
            for route in self.routes
            if route.startswith(f"{provider}:")
        )
