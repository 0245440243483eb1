"""Every setting with its type, bounds, default, and description.

`config.example.toml` is generated from this model. A test keeps the two equal.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from msgctl.config.base import Count, Seconds, Section
from msgctl.config.channels import (
    CallbackSettings,
    DeliverySettings,
    InboundSettings,
    TelegramSettings,
    TwilioSettings,
    WhatsAppSettings,
)
from msgctl.config.credentials import (
    BasicUsername,
    BearerToken,
    HeaderName,
    HeaderSecret,
    check_base_url,
    check_single_authorization,
)
from msgctl.config.gateway import AuthSettings, GatewaySettings, LimitsSettings
from msgctl.config.postgres_url import PostgresUrl
from msgctl.config.reply import ReplySettings
from msgctl.domain.extensions import CHANNELS
from msgctl.domain.retry import RetryPolicy


class RedisSettings(Section):
    """The Redis or Valkey (6.2 or newer) that holds the queue."""

    host: str = "localhost"
    """The host of Redis. The variable `REDIS_HOST` sets it too."""
    port: int = Field(6379, ge=1, le=65535)
    """The TCP port of Redis. The variable `REDIS_PORT` sets it too."""
    password: SecretStr = SecretStr("")
    """The password of Redis. Empty: none. The variable `REDIS_PASSWORD` sets it too."""
    username: str = ""
    """The ACL user. Empty: the default user of Redis."""
    database: int = Field(0, ge=0, le=15)
    """The number of the database."""
    tls: bool = False
    """Whether to connect with TLS."""
    tls_ca: str = ""
    """The PEM file of the authority that signed the certificate of Redis. Empty: the authorities of the system."""
    sentinels: list[Annotated[str, Field(pattern=r"^\S*[^\s:]:\d{1,5}$")]] = Field([])
    """Redis Sentinels, each `host:port`, which name the master. Empty: `host` and `port` name it."""
    sentinel_service: str = Field("mymaster", min_length=1)
    """The name under which the Sentinels know the master."""
    sentinel_password: SecretStr = SecretStr("")
    """The password of the Sentinels. Empty: none."""
    timeout: Seconds = 5.0
    """Seconds to wait for a connection or an answer."""
    max_connections: Count = 64
    """The most connections that one process opens. A task waits for a free one."""
    accept_data_loss: bool = False
    """Whether to start although Redis evicts keys or keeps no append-only file. The flag is
    `--accept-data-loss`."""


class PostgresSettings(Section):
    """The PostgreSQL that holds the agents and the copy of the ledger."""

    url: PostgresUrl = SecretStr("postgresql://localhost/msgctl")
    """The connection URL, `postgresql://user:password@host:port/database`."""
    agent_query: str = Field("", pattern=r"^$|%\(id\)s")
    """A SELECT on your own table of agents. For `%(id)s` it returns one row of id, user_id, name, system_prompt,
    webhook_path, active, and optionally settings, a JSON object such as `{"format": "plain"}`. Empty: the table
    that `msgctl db migrate` creates."""
    pool_size: int = Field(4, ge=1, le=100)
    """The most connections that one process opens."""
    timeout: Seconds = 5.0
    """Seconds to wait for a connection."""
    tier_query: str = Field("", pattern=r"^$|%\(id\)s")
    """A SELECT on your own table of users. For `%(id)s`, the `sub` of a token, it returns one row whose column
    `tier` names a tier of `[limits] tiers`. Empty: the table `user_tiers` that `msgctl db migrate` creates."""
    agent_cache: Seconds = 30.0
    """Seconds that the row of an agent or of a user's tier is cached. A change in msgctl's own tables takes effect
    immediately."""


class N8nSettings(Section):
    """The n8n that runs the agents' workflows."""

    base_url: Annotated[str, AfterValidator(check_base_url)] = Field(
        "http://localhost:5678", pattern=r"^https?://[^\s?#]+$"
    )
    """The base URL of n8n. The variable `N8N_BASE_URL` sets it too."""
    api_key: HeaderSecret = SecretStr("")
    """The key sent as `X-API-Key`. It belongs to the system and is never the token of a customer. Empty: not
    sent."""
    header_name: HeaderName = ""
    """Header Auth: the name of the header, as in the credential of the Webhook node. Empty: not sent."""
    header_value: HeaderSecret = SecretStr("")
    """Header Auth: the value of the header `header_name`."""
    bearer_token: BearerToken = SecretStr("")
    """The token sent as `Authorization: Bearer`, without the word Bearer. Empty: not sent."""
    username: BasicUsername = ""
    """Basic Auth: the user. Empty: not sent."""
    password: SecretStr = SecretStr("")
    """Basic Auth: the password of `username`."""
    timeout: Seconds = 120.0
    """Seconds that one call may take in total."""
    max_answer: Annotated[int, Field(ge=1024, le=16_777_216)] = 1_048_576
    """The largest text of an answer, in bytes."""
    patience: float = Field(900.0, ge=0, le=604_800)
    """Seconds for which a message waits for an n8n that answers, itself or through a proxy, that it is down. After
    that the message becomes a dead letter. A refused connection is waited for without a limit."""

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        """Refuse credentials of which one would replace another, or that are incomplete."""
        check_single_authorization(self)
        return self


class WorkerSettings(Section):
    """The worker, which processes messages."""

    concurrency: int = Field(5, ge=1, le=5000)
    """Messages that one worker processes at the same time."""
    lease: float = Field(30.0, ge=1, le=600)
    """Seconds after which the lease of a message ends unless its worker renews it. It is renewed three times as
    often."""
    drain: Seconds = 130.0
    """Seconds after SIGTERM within which running messages may end. The rest is requeued."""
    max_wait: Seconds = 60.0
    """Seconds after which even a message of priority 10 gets a share of the slots during a flood of priority 1."""
    max_crashes: int = Field(3, ge=1, le=100)
    """Crashes after which a message runs alone, in quarantine. One more crash there makes it a dead letter.
    Crashes are not attempts."""


class RetrySettings(Section):
    """How often and how soon a failed message is tried again."""

    attempts: int = Field(3, ge=1, le=100)
    """Attempts before a message becomes a dead letter."""
    base: Seconds = 2.0
    """Seconds before the second attempt. The pause doubles for each further one, ±20 %."""
    cap: Seconds = 60.0
    """The longest pause in seconds."""
    hold: Seconds = 1.0
    """Seconds before the next try while a dependency is down, doubled up to `cap`. It does not count as an
    attempt."""

    def policy(self) -> RetryPolicy:
        """Return these settings as the policy that `msgctl.domain.retry` decides by."""
        return RetryPolicy(attempts=self.attempts, base=self.base, cap=self.cap, hold=self.hold)


class BreakerSettings(Section):
    """The circuit breakers of workflows and channels. While one is open, messages wait and no attempt counts."""

    streak: int = Field(20, ge=1, le=10_000)
    """Failures in a row, counted over all workers, that open the breaker."""
    ratio: float = Field(0.5, gt=0, le=1)
    """The share of failures within 30 s that opens the breaker."""
    calls: int = Field(40, ge=1, le=100_000)
    """Calls within 30 s below which `ratio` does not apply."""
    pause: Seconds = 5.0
    """Seconds that the breaker stays open the first time, doubled for each further time."""
    cap: Seconds = 60.0
    """The longest time that the breaker stays open, in seconds."""


class HistorySettings(Section):
    """The history and the mailbox of a conversation."""

    turns: int = Field(20, ge=0, le=1000)
    """The number of latest turns that are sent to n8n with a message."""
    replies: int = Field(200, ge=1, le=10_000)
    """Responses kept for clients that resume."""
    ttl: Seconds = 604_800.0
    """Seconds that a conversation is kept after its last message."""
    max_mailbox: Count = 1000
    """Messages of one conversation that may wait. Further ones are rejected with 429."""


class RetentionSettings(Section):
    """How long finished messages are kept."""

    completed: Seconds = 86_400.0
    """Seconds that a completed message is kept."""
    failed: Seconds = 2_592_000.0
    """Seconds that a dead letter is kept."""
    identity: Seconds = 86_400.0
    """Seconds within which a repeated message gets the same answer and is not processed twice."""


class EventsSettings(Section):
    """The ledger: every transition of every message, written to Redis and copied to PostgreSQL."""

    stream: int = Field(200_000, ge=1000, le=1_000_000)
    """Events kept in Redis, about five per message. Beyond this number the oldest are removed, even if PostgreSQL
    was down and lacks them."""
    project: bool = True
    """Whether subscribers copy events to PostgreSQL."""
    retention: int = Field(30, ge=1, le=3650)
    """Days that events are kept in PostgreSQL."""


class CanarySettings(Section):
    """A synthetic message that passes through the whole pipeline and shows when it stands still."""

    interval: float = Field(0.0, ge=0, le=86_400)
    """Seconds between two canaries. 0: none. `msgctl systemd install` sets 30."""
    agent: str = Field("", pattern=r"^$|^[0-9a-fA-F-]{36}$")
    """The id of the agent that gets the canary, so that n8n is tested too. Empty: the worker answers the
    canary."""
    late: Seconds = 120.0
    """Seconds without an arrived canary after which the pipeline counts as unhealthy."""


class MetricsSettings(Section):
    """`GET /metrics` of each daemon, for Prometheus."""

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = Field(0, ge=0, le=65535)
    """The port to listen on. 0: metrics are not served. Each daemon needs its own port: `msgctl up` numbers its
    daemons upward from this one, or takes free ports if it is 0."""


class TracingSettings(Section):
    """OpenTelemetry spans. They need the extra: `pip install 'msgctl[tracing]'`."""

    endpoint: str = Field("", pattern=r"^$|^https?://[^\s?#]+$")
    """The OTLP address of the collector over HTTP, e.g. http://localhost:4318. Empty: no spans."""


class HealthSettings(Section):
    """Thresholds above which the queue counts as unhealthy."""

    max_waiting: int = Field(100, ge=0)
    """The number of waiting messages."""
    max_failed_ratio: float = Field(0.05, ge=0, le=1)
    """The share of failed messages among all messages."""
    max_age: Seconds = 300.0
    """Seconds that the oldest waiting message has waited."""


class LogsSettings(Section):
    """The logs of the daemons."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest level that is written."""
    format: Literal["auto", "json", "text"] = "auto"
    """`auto`: text on a terminal, JSON elsewhere."""
    directory: str = ""
    """The folder for `combined.log` and `error.log`. Empty: standard error only, which suits the journal."""


class Settings(Section):
    """All sections."""

    redis: RedisSettings = RedisSettings()
    postgres: PostgresSettings = PostgresSettings()
    n8n: N8nSettings = N8nSettings()
    gateway: GatewaySettings = GatewaySettings()
    auth: AuthSettings = AuthSettings()
    limits: LimitsSettings = LimitsSettings()
    worker: WorkerSettings = WorkerSettings()
    retry: RetrySettings = RetrySettings()
    breaker: BreakerSettings = BreakerSettings()
    history: HistorySettings = HistorySettings()
    retention: RetentionSettings = RetentionSettings()
    delivery: DeliverySettings = DeliverySettings()
    reply: ReplySettings = ReplySettings()
    whatsapp: WhatsAppSettings = WhatsAppSettings()
    twilio: TwilioSettings = TwilioSettings()
    telegram: TelegramSettings = TelegramSettings()
    callback: CallbackSettings = CallbackSettings()
    inbound: InboundSettings = InboundSettings()
    events: EventsSettings = EventsSettings()
    canary: CanarySettings = CanarySettings()
    metrics: MetricsSettings = MetricsSettings()
    tracing: TracingSettings = TracingSettings()
    health: HealthSettings = HealthSettings()
    logs: LogsSettings = LogsSettings()
    channels: dict[str, Section] = Field(default={})
    """The tables `[channels.NAME]` of channels that extensions add, each an instance of the extension's model."""

    @field_validator("channels", mode="before")
    @classmethod
    def _validate_channels(cls, tables: object) -> object:
        """Validate each table by the model that its channel names."""
        if not isinstance(tables, Mapping):
            return tables
        return {
            name: table if isinstance(table, Section) else channel_model(name).model_validate(table)
            for name, table in tables.items()
        }


def channel_model(name: str) -> type[Section]:
    """Return the model of the table `[channels.NAME]`.

    Raises:
        ValueError: no extension adds such a channel, or it has no settings.
        ConfigurationError: the extension cannot be loaded.
    """
    try:
        model = CHANNELS.load(name).settings_model
    except KeyError:
        model = None
    if not (isinstance(model, type) and issubclass(model, Section)):
        raise ValueError(f"no installed extension adds a channel {name!r} that has settings")  # noqa: TRY004 - pydantic reports it
    return model
