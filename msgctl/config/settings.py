"""Every setting, its type, its bounds, its default and one sentence on it.

`config.example.toml` is this model written out; a test keeps the two equal.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator

from msgctl.config.base import Count, Seconds, Section
from msgctl.config.channels import (
    CallbackSettings,
    DeliverySettings,
    InboundSettings,
    TelegramSettings,
    TwilioSettings,
    WhatsAppSettings,
)
from msgctl.config.gateway import AuthSettings, GatewaySettings, LimitsSettings
from msgctl.domain.extensions import CHANNELS
from msgctl.domain.retry import RetryPolicy


class RedisSettings(Section):
    """The Redis or Valkey (6.2 or newer) that holds the queue."""

    host: str = "localhost"
    """Where Redis listens. The variable `REDIS_HOST` sets it too."""
    port: int = Field(6379, ge=1, le=65535)
    """Its TCP port. The variable `REDIS_PORT` sets it too."""
    password: SecretStr = SecretStr("")
    """Its password, empty for none. The variable `REDIS_PASSWORD` sets it too."""
    username: str = ""
    """The ACL user, empty for Redis's default user."""
    database: int = Field(0, ge=0, le=15)
    """The number of the database."""
    tls: bool = False
    """Whether to speak TLS."""
    tls_ca: str = ""
    """The PEM file of the authority that signed Redis's certificate; empty: the system's own."""
    sentinels: list[Annotated[str, Field(pattern=r"^\S*[^\s:]:\d{1,5}$")]] = Field([])
    """Redis Sentinels, each `host:port`, who are asked where the master is; empty: `host` and `port` say it."""
    sentinel_service: str = Field("mymaster", min_length=1)
    """The name under which the Sentinels know the master."""
    sentinel_password: SecretStr = SecretStr("")
    """The Sentinels' own password, empty for none."""
    timeout: Seconds = 5.0
    """Seconds to wait for a connection or an answer."""
    max_connections: Count = 64
    """Connections one process opens at most; a task waits for a free one."""
    accept_data_loss: bool = False
    """Start although Redis evicts keys or keeps no append-only file. The flag is `--accept-data-loss`."""


class PostgresSettings(Section):
    """The PostgreSQL that holds the agents."""

    url: SecretStr = SecretStr("postgresql://localhost/msgctl")
    """Connection URL, `postgresql://user:password@host:port/database`."""
    agent_query: str = Field("", pattern=r"^$|%\(id\)s")
    """A SELECT on your own agents table: for `%(id)s` one row of id, user_id, name, system_prompt, webhook_path,
    active. Empty: the table that `msgctl db migrate` makes."""
    pool_size: int = Field(4, ge=1, le=100)
    """Connections one process opens at most."""
    timeout: Seconds = 5.0
    """Seconds to wait for a connection."""
    tier_query: str = Field("", pattern=r"^$|%\(id\)s")
    """A SELECT on your own table of users: for the `sub` `%(id)s` one row whose column `tier` names a tier of
    `[limits] tiers`. Empty: the table `user_tiers` that `msgctl db migrate` makes."""
    agent_cache: Seconds = 30.0
    """Seconds an agent's or a tier's row may be remembered; a change in our own tables is heard of at once."""


class N8nSettings(Section):
    """The n8n that runs the agents' workflows."""

    base_url: str = Field("http://localhost:5678", pattern=r"^https?://[^\s?#]+$")
    """Where n8n listens. The variable `N8N_BASE_URL` sets it too."""
    api_key: SecretStr = SecretStr("")
    """Sent as `X-API-Key`: the system's own key, never a customer's token. Empty: not sent."""
    timeout: Seconds = 120.0
    """Seconds one call may take in all."""
    max_answer: Annotated[int, Field(ge=1024, le=16_777_216)] = 1_048_576
    """Bytes an answer may have."""


class WorkerSettings(Section):
    """The process that works messages."""

    concurrency: int = Field(5, ge=1, le=5000)
    """Messages one worker works at once."""
    lease: float = Field(30.0, ge=1, le=600)
    """Seconds a worker owns a message without a sign of life; renewed each third of it."""
    drain: Seconds = 130.0
    """Seconds running messages get to end after SIGTERM before they are handed back."""
    max_wait: Seconds = 60.0
    """Seconds after which even a message of priority 10 gets its share under a flood of priority 1."""
    max_crashes: int = Field(3, ge=1, le=100)
    """Lost leases after which a message runs alone, in quarantine; one more there, and it is a dead letter. They
    are no attempts."""


class RetrySettings(Section):
    """How patient the pipeline is with one message."""

    attempts: int = Field(3, ge=1, le=100)
    """Attempts a message gets before it becomes a dead letter."""
    base: Seconds = 2.0
    """Seconds before the second attempt; doubled for each further one, ±20 %."""
    cap: Seconds = 60.0
    """The longest pause in seconds."""
    hold: Seconds = 1.0
    """Seconds before the next look at a dependency that is down; doubled up to `cap`. Charges no attempt."""

    def policy(self) -> RetryPolicy:
        """Return these settings as the policy that `msgctl.domain.retry` decides by."""
        return RetryPolicy(attempts=self.attempts, base=self.base, cap=self.cap, hold=self.hold)


class BreakerSettings(Section):
    """When a workflow or a channel that keeps failing is left alone; what is for it waits, charged nothing."""

    streak: int = Field(20, ge=1, le=10_000)
    """Failures in a row, of all workers together, that open its breaker."""
    ratio: float = Field(0.5, gt=0, le=1)
    """Share of failures within 30 s that opens it."""
    calls: int = Field(40, ge=1, le=100_000)
    """Calls within 30 s below which no share is looked at."""
    pause: Seconds = 5.0
    """Seconds the first opening lasts; doubled for each further one."""
    cap: Seconds = 60.0
    """The longest opening in seconds."""


class HistorySettings(Section):
    """What is remembered of a conversation."""

    turns: int = Field(20, ge=0, le=1000)
    """Utterances sent to n8n with a message, the newest."""
    replies: int = Field(200, ge=1, le=10_000)
    """Responses kept for a socket that comes back (`resume`)."""
    ttl: Seconds = 604_800.0
    """Seconds a conversation is remembered after its last message."""
    max_mailbox: Count = 1000
    """Messages of one conversation that may wait; one more is refused with 429."""


class RetentionSettings(Section):
    """How long what is over is kept."""

    completed: Seconds = 86_400.0
    """Seconds a completed message is kept."""
    failed: Seconds = 2_592_000.0
    """Seconds a dead letter is kept."""
    identity: Seconds = 86_400.0
    """Seconds within which a repeated message gets the same answer and no second run."""


class EventsSettings(Section):
    """The ledger: every transition of every message, in Redis at once and from there in PostgreSQL."""

    stream: int = Field(200_000, ge=1000, le=1_000_000)
    """Events kept in Redis, about five a message; beyond it the oldest go, even if PostgreSQL was down and lacks
    them."""
    project: bool = True
    """Whether subscribers carry events into PostgreSQL."""
    retention: int = Field(30, ge=1, le=3650)
    """Days events are kept in PostgreSQL."""


class CanarySettings(Section):
    """A synthetic message that goes the whole way, so that silence is noticed."""

    interval: float = Field(0.0, ge=0, le=86_400)
    """Seconds between two of them; 0: none. A server set up by `msgctl systemd install` has 30."""
    agent: str = Field("", pattern=r"^$|^[0-9a-fA-F-]{36}$")
    """The id of an agent it is written to, so that n8n takes part. Empty: the worker answers it by itself."""
    late: Seconds = 120.0
    """Seconds without an arrival after which the pipeline counts as unhealthy."""


class MetricsSettings(Section):
    """GET /metrics of each daemon, for Prometheus."""

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = Field(0, ge=0, le=65535)
    """The port; 0: none. One daemon a port: `msgctl up` numbers its own daemons upwards from here, and where this
    is 0 takes free ones."""


class TracingSettings(Section):
    """OpenTelemetry spans; they need the extra, `pip install 'msgctl[tracing]'`."""

    endpoint: str = Field("", pattern=r"^$|^https?://[^\s?#]+$")
    """The collector's OTLP address over HTTP, e.g. http://localhost:4318; empty: no spans."""


class HealthSettings(Section):
    """When the queue counts as unhealthy."""

    max_waiting: int = Field(100, ge=0)
    """Waiting messages."""
    max_failed_ratio: float = Field(0.05, ge=0, le=1)
    """Failed messages as a share of all."""
    max_age: Seconds = 300.0
    """Seconds the oldest waiting message may have waited."""


class LogsSettings(Section):
    """What the daemons write."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least level that is written."""
    format: Literal["auto", "json", "text"] = "auto"
    """`auto`: text on a terminal, JSON elsewhere."""
    directory: str = ""
    """Folder for `combined.log` and `error.log`; empty: standard error alone, as the journal wants it."""


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
