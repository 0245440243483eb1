"""All names that another process sees: keys, channels, queues, fields. No other module contains a literal key.

RQ's keys (`rq:…`) have RQ's format, so that `rq info`, rq-dashboard, and `Job.fetch` can read them. All other keys
are under `msgctl:`, except the response channels, whose names are part of the public contract.
"""

from msgctl.domain.messages import PRIORITIES

# ── RQ's keys ───────────────────────────────────────────────────────────────────────────────────────────
RQ_QUEUES = "rq:queues"  # SET of `rq:queue:NAME`
RQ_QUEUE = "rq:queue:"  # + queue: LIST of job ids, head first
RQ_JOB = "rq:job:"  # + message id: HASH, RQ's fields and ours (below)
RQ_DEFERRED = "rq:deferred:"  # + queue: ZSET of ids that wait behind the head of their conversation
RQ_WIP = "rq:wip:"  # + queue: ZSET of `job:execution`: the running jobs
RQ_SCHEDULED = "rq:scheduled:"  # + queue: ZSET of ids by the second at which they are due
RQ_FINISHED = "rq:finished:"  # + queue: ZSET of ids by the second they expire
RQ_FAILED = "rq:failed:"  # + queue: ZSET of ids by the second they expire: the dead letters
RQ_EXECUTION = "rq:execution:"  # + `job:execution`: HASH
RQ_EXECUTIONS = "rq:executions:"  # + job: ZSET of execution ids
RQ_WORKERS = "rq:workers"  # SET of `rq:worker:NAME`
RQ_WORKER = "rq:worker:"  # + name: HASH with a TTL that each heartbeat renews
RQ_WORKER_EXECUTIONS = ":executions"  # rq:worker:NAME + this: SET of `job:execution`
RQ_SUSPENDED = "rq:suspended"  # set by `rq suspend`: no worker claims

QUEUE = "messages:"  # + priority: the name of an RQ queue
QUEUES = tuple(f"{QUEUE}{priority}" for priority in PRIORITIES)
"""The ten queues, soonest first."""

QUARANTINE = "messages:quarantine"
"""The RQ queue of messages that may have crashed their workers. They run one at a time in their own process."""

JOB_FUNCTION = "msgctl.rqueue.job.refuse"
"""The function that stored jobs name. It refuses to run, because only our worker may process a job."""

# Our fields in the job hash, beside RQ's.
FIELD_MESSAGE = "msgctl_message"  # the Message as JSON
FIELD_USER = "msgctl_user"
FIELD_AGENT = "msgctl_agent"  # absent in jobs of earlier versions, whose message contains it
FIELD_DIGEST = (
    "msgctl_digest"  # of the fields that a repetition must repeat; the identity may expire before this hash
)
FIELD_KEY = "msgctl_key"  # its `msgctl:idempotency:` key, if the client gave one
FIELD_CONVERSATION = "msgctl_conversation"
FIELD_CHANNEL = "msgctl_channel"
FIELD_PRIORITY = "msgctl_priority"
FIELD_PROGRESS = "msgctl_progress"  # 0 to 100
FIELD_ATTEMPTS = "msgctl_attempts"  # counted attempts since the last replay
FIELD_RUNS = "msgctl_runs"  # number of claims in total
FIELD_CRASHES = "msgctl_crashes"  # leases lost
FIELD_QUARANTINED = "msgctl_quarantined"  # 1: it may have crashed its workers, and runs alone
FIELD_HOLDS = "msgctl_holds"  # consecutive snoozes for a dependency
FIELD_DOWN_SINCE = "msgctl_down_since"  # Unix milliseconds of the first answer in a row that n8n is down
FIELD_READY = "msgctl_ready"  # Unix milliseconds at which it entered its queue
FIELD_ERROR = "msgctl_error"  # JSON {class, code, text, at} of the last failure
FIELD_RUN = "msgctl_run:"  # + run number: JSON of the outcome of that attempt
FIELD_CRASH = "msgctl_crash:"  # + run number: JSON of how that run lost its worker
FIELD_COMMITTED = "msgctl_committed"  # "run seq streamId" of the commit; "run 0 silent" without a reply
SILENT_COMMIT = " 0 silent"  # follows the run in FIELD_COMMITTED of a message that was finished without a reply
FIELD_FINISHED = "msgctl_finished"  # Unix milliseconds
FIELD_REPLY = "msgctl_reply"  # a Draft as JSON without its last brace: the reply of a run that lost its lease
FIELD_EDITION = "msgctl_edition"  # of a dead letter: the id of its edited replacement
FIELD_ORIGINAL = "msgctl_original"  # of a replacement: the id of its dead letter
FIELD_SLOTS = "msgctl_slots"  # in the worker's hash: messages that it can process in parallel

# ── Our keys ────────────────────────────────────────────────────────────────────────────────────────────
LEASES = "msgctl:leases"  # ZSET of `job:execution` by the millisecond at which the lease ends
CLAIMED = (
    "msgctl:claimed:"  # + worker name: STRING with a TTL, the token of its last claim and the messages it claimed
)
TENDED = "msgctl:tended"  # HASH {at, grace}: time of the last maintenance, and until when no lease is reaped
MAILBOX = "msgctl:mailbox:"  # + conversation: LIST of ids, of which only the head is in progress
CONVERSATION = "msgctl:conversation:"  # + id: HASH {user, seq, routed, floor, untold}
HISTORY = "msgctl:history:"  # + conversation: LIST of Turn as JSON, oldest first, bounded
REPLIES = "msgctl:replies:"  # + conversation: ZSET of Response as JSON by seq, bounded
IDENTITY = "msgctl:identity:"  # + message id: HASH {user, digest, conversation}: the 202 that was given, for 24 h
IDENTITY_REMOVED = "removed"  # field of an identity: its message was deleted on purpose
IDEMPOTENCY = "msgctl:idempotency:"  # + length of user:user:key: STRING, the message id of that key
PAUSED = "msgctl:paused"  # SET of names of RQ queues that workers do not claim from
JOURNAL = "msgctl:journal"  # STREAM of operator actions, bounded
PARKED = "msgctl:parked"  # HASH of ids of jobs that cannot be processed to their former status
AUDITED = "msgctl:audited"  # STRING with a TTL: the mailboxes were checked recently
QUARANTINE_KEEPER = (
    "msgctl:quarantine:keeper"  # STRING with a TTL: the worker whose child process runs the quarantine
)
BREAKERS = "msgctl:breakers"  # HASH of webhook path to "openUntilMs openings": the workflows that are not called
BREAKER = "msgctl:breaker:"  # + webhook path: HASH {streak, BUCKET:good, BUCKET:bad} with a TTL
BREAKER_PROBE = ":probe"  # msgctl:breaker:PATH + this: STRING with a TTL: a worker probes a half-open workflow
N8N_OUTAGE = "msgctl:n8n:outage"  # HASH {since, count, shut, refused, permits, tried, step, next} with a TTL
N8N_HELD = (
    "msgctl:n8n:held"  # ZSET of message ids that wait for n8n, by the millisecond at which they may continue
)
N8N_DOUBTFUL = (
    "msgctl:n8n:doubtful"  # the same for messages whose workflow may be the cause; a failed probe moves them
)
N8N_PROBER = "msgctl:n8n:prober"  # STRING with a TTL: the worker that probes n8n
IDLE_WORKERS = "msgctl:workers:idle"  # SET of names of workers with free slots, to wake them
ORDER = "msgctl:order:"  # + worker name: STRING with a TTL, the operator's command: drain or stop
WAKE = "msgctl:wake:"  # + worker name: LIST, a token wakes the worker that blocks on it
RESPONSES = "msgctl:responses"  # STREAM of responses (and failures) to deliver, the durable truth
RESPONSES_GROUP = "delivery"  # its consumer group
RESPONSES_SETTLED = "msgctl:responses:settled"  # STRING, the stream id before which nothing is left to deliver
RESPONSES_LOST = (
    "msgctl:responses:lost"  # STRING, the ms at which entries were found that were trimmed before their delivery
)
RESPONSES_RECOVERING = "msgctl:responses:recovering"  # STRING with a TTL: a subscriber restores them
POSTPONED = "msgctl:postponed"  # ZSET of message ids by the millisecond of their next delivery attempt
HELD = "msgctl:held:"  # + channel: ZSET of message ids that wait for a paused or broken channel, oldest first
CHANNEL_STATE = (
    "msgctl:channel:"  # + channel: HASH {pausedAt, reason, streak, openings, openUntil, resumedAt, code, …}
)
CHANNEL_PROBE = ":probe"  # msgctl:channel:NAME + this: STRING with a TTL: a subscriber probes a broken channel
BUCKET = "msgctl:bucket:"  # + name: STRING with a TTL, the ms at which the past sends are within the rate
LIMITED = "msgctl:limited:"  # + name of a bucket: ZSET with a TTL, the narrower buckets that were closed recently
CALLBACKS_GONE = (
    "msgctl:callbacks:gone"  # ZSET of "digest host" of URLs that answered 410, by the ms of their next attempt
)
WINDOW = (
    "msgctl:window:"  # + digest of a phone number: STRING with a TTL, the ms of its last WhatsApp message to us
)
ALIAS = (
    "msgctl:alias:"  # + id of an address: STRING with a TTL, the conversation of the customer with this address
)
ALIASES = "msgctl:aliases:"  # + conversation: SET with a TTL of the ids whose alias is this conversation
INBOUND = "msgctl:inbound:"  # + message id: STRING with a TTL, a provider's webhook that was accepted
ADOPTED = "msgctl:adopted:"  # + channel + ":" + message id: STRING: an external response that is in the stream
SUBSCRIBERS = "msgctl:subscribers"  # HASH of subscriber name to the Unix millisecond of its last heartbeat
GATEWAYS = "msgctl:gateways"  # HASH of gateway name to the Unix millisecond of its last heartbeat
INBOX = "msgctl:inbox:"  # + gateway name: STREAM of frames for sockets that this gateway holds
INBOX_LIMIT = (
    "50000"  # frames that may wait for one gateway; a reply to a thousand sockets must not displace others
)
INBOX_TTL = "3600000"  # milliseconds after which the inbox of a stopped gateway is deleted
SOCKET = "msgctl:socket:"  # + socket id: HASH {gateway, user} with a TTL
SOCKETS = "msgctl:sockets:"  # + conversation: SET of the ids of its sockets
TICKET = (
    "msgctl:ticket:"  # + SHA-256 of the ticket: STRING: the user whom it admits to the WebSocket once, for 30 s
)
QUOTA = "msgctl:quota:"  # + user: STRING with a TTL, the millisecond at which its quota is full again
BACKLOG = "msgctl:backlog:"  # + user: LIST of ids of messages in progress, if the backlog has a limit
OCCUPANTS = "msgctl:occupants:"  # + user: or address: + which: HASH of gateway name to its number of sockets
DELIVERY = "msgctl:delivery:"  # + message id: HASH {state, channel, attempts, part, providerId, code, text, …}
EVENTS = "msgctl:events"  # STREAM, the ledger: every transition of every message, bounded
EVENTS_LIMIT = "1000000"  # maximum number of entries
EVENTS_PROJECTED = (
    "msgctl:events:projected"  # STRING, the stream id up to which the ledger is copied to PostgreSQL
)
EVENTS_LOST = "msgctl:events:lost"  # STRING, number of events that were trimmed before PostgreSQL had them
CANARY = "msgctl:canary"  # HASH {id, sentAt, arrivedAt, since}: the synthetic message, times in Unix milliseconds
CANARY_SENDING = "msgctl:canary:sending"  # STRING with a TTL: a subscriber is sending it
PROBE = "msgctl:probe"  # STRING with a TTL: tests whether Redis accepts writes
PROGRESS_CHANNEL = "msgctl:progress"  # PUBLISH of {messageId, conversationId, userId, progress} for observers

# ── Channels of the contract ────────────────────────────────────────────────────────────────────────────
RESPONSE_CHANNEL = "pubsub:response:"  # + channel
CONVERSATION_CHANNEL = "pubsub:conversation:"  # + conversation
AGENT_NOTIFICATIONS = "msgctl_agents"  # PostgreSQL NOTIFY channel: the id of an agent that changed
TIER_NOTIFICATIONS = "msgctl_user_tiers"  # the same for tiers: the id of the user

LUA_NAMES: dict[str, str] = {
    name.lower(): value for name, value in dict(globals()).items() if name.isupper() and isinstance(value, str)
}
"""The value of `K.name` in a Lua script. `storage.redis.lua` inserts the values."""


def job_key(message_id: str) -> str:
    """Return the key of a message's RQ job hash."""
    return RQ_JOB + message_id


def queue_name(priority: int) -> str:
    """Return the RQ queue of a priority, 1 to 10."""
    return f"{QUEUE}{priority}"
