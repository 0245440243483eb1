"""Every name that another process sees: keys, channels, queues, fields, paths. A literal key stands nowhere else.

RQ's keys (`rq:…`) are RQ's own, in RQ's own format, so that `rq info`, rq-dashboard and `Job.fetch` read them
truly. Everything else lives under `msgctl:`, apart from the response channels, whose names are the contract's.
"""

from msgctl.domain.messages import PRIORITIES

# ── RQ's keys ───────────────────────────────────────────────────────────────────────────────────────────
RQ_QUEUES = "rq:queues"  # SET of `rq:queue:NAME`
RQ_QUEUE = "rq:queue:"  # + queue: LIST of job ids, head first
RQ_JOB = "rq:job:"  # + message id: HASH, RQ's fields and ours (below)
RQ_DEFERRED = "rq:deferred:"  # + queue: ZSET of ids that wait behind the head of their conversation
RQ_WIP = "rq:wip:"  # + queue: ZSET of `job:execution`, what runs now
RQ_SCHEDULED = "rq:scheduled:"  # + queue: ZSET of ids by the second they are due again
RQ_FINISHED = "rq:finished:"  # + queue: ZSET of ids by the second they expire
RQ_FAILED = "rq:failed:"  # + queue: ZSET of ids by the second they expire: the dead letters
RQ_EXECUTION = "rq:execution:"  # + `job:execution`: HASH
RQ_EXECUTIONS = "rq:executions:"  # + job: ZSET of execution ids
RQ_WORKERS = "rq:workers"  # SET of `rq:worker:NAME`
RQ_WORKER = "rq:worker:"  # + name: HASH with a TTL that each heartbeat renews
RQ_WORKER_EXECUTIONS = ":executions"  # rq:worker:NAME + this: SET of `job:execution`
RQ_SUSPENDED = "rq:suspended"  # set by `rq suspend`: nobody claims

QUEUE = "messages:"  # + priority: the name of an RQ queue
QUEUES = tuple(f"{QUEUE}{priority}" for priority in PRIORITIES)
"""The ten queues, soonest first."""

QUARANTINE = "messages:quarantine"
"""The RQ queue of messages that may have killed their workers; they run one at a time, each alone."""

JOB_FUNCTION = "msgctl.rqueue.job.refuse"
"""The function that stored jobs name. It refuses to run: the hash is data, only our worker works it."""

# Our fields in the job hash, beside RQ's.
FIELD_MESSAGE = "msgctl_message"  # the Message as JSON
FIELD_USER = "msgctl_user"
FIELD_AGENT = "msgctl_agent"  # absent in jobs of earlier versions: there only the message names it
FIELD_DIGEST = "msgctl_digest"  # of what a repetition must repeat: the identity may expire before this hash
FIELD_KEY = "msgctl_key"  # the `msgctl:idempotency:` key that stands for it, if its client gave one
FIELD_CONVERSATION = "msgctl_conversation"
FIELD_CHANNEL = "msgctl_channel"
FIELD_PRIORITY = "msgctl_priority"
FIELD_PROGRESS = "msgctl_progress"  # 0 to 100
FIELD_ATTEMPTS = "msgctl_attempts"  # charged attempts since the last replay
FIELD_RUNS = "msgctl_runs"  # how often it was claimed, ever
FIELD_CRASHES = "msgctl_crashes"  # leases lost
FIELD_QUARANTINED = "msgctl_quarantined"  # 1: it may have killed its workers, and runs alone
FIELD_HOLDS = "msgctl_holds"  # waits for a dependency, in a row
FIELD_DOWN_SINCE = "msgctl_down_since"  # Unix milliseconds of the first answer in a row that n8n is down
FIELD_READY = "msgctl_ready"  # Unix milliseconds since when it has waited in its queue
FIELD_ERROR = "msgctl_error"  # JSON {class, code, text, at} of the last failure
FIELD_RUN = "msgctl_run:"  # + run number: JSON of that attempt's end
FIELD_CRASH = "msgctl_crash:"  # + run number: JSON of how that run lost its worker
FIELD_COMMITTED = "msgctl_committed"  # "run seq streamId" of the commit; "run 0 silent" without a reply
SILENT_COMMIT = " 0 silent"  # follows the run in FIELD_COMMITTED of a message that was finished without a reply
FIELD_FINISHED = "msgctl_finished"  # Unix milliseconds
FIELD_REPLY = (
    "msgctl_reply"  # a Draft as JSON without its last brace: answered, but the lease was lost; the next run has it
)
FIELD_EDITION = "msgctl_edition"  # of a dead letter: the id of the edited message that was sent in its place
FIELD_ORIGINAL = "msgctl_original"  # of such a message: the id of the dead letter it was made of
FIELD_SLOTS = "msgctl_slots"  # in the worker's hash: messages it works at once

# ── Our keys ────────────────────────────────────────────────────────────────────────────────────────────
LEASES = "msgctl:leases"  # ZSET of `job:execution` by the millisecond the lease ends: who may commit
CLAIMED = "msgctl:claimed:"  # + worker name: STRING with a TTL, the ticket of its last claim and what that took
TENDED = "msgctl:tended"  # HASH {at, grace}: when someone last looked after leases, until when none is reaped
MAILBOX = "msgctl:mailbox:"  # + conversation: LIST of ids, the head alone is in play
CONVERSATION = "msgctl:conversation:"  # + id: HASH {user, seq, routed, floor, untold}
HISTORY = "msgctl:history:"  # + conversation: LIST of Turn as JSON, oldest first, bounded
REPLIES = "msgctl:replies:"  # + conversation: ZSET of Response as JSON by seq, bounded
IDENTITY = "msgctl:identity:"  # + message id: HASH {user, digest, conversation}: the 202 that was given, for 24 h
IDENTITY_REMOVED = "removed"  # field of an identity: its message was forgotten on purpose
IDEMPOTENCY = "msgctl:idempotency:"  # + length of user:user:key: STRING, the message id that key stands for
PAUSED = "msgctl:paused"  # SET of names of RQ queues that nobody claims from
JOURNAL = "msgctl:journal"  # STREAM of operators' acts, bounded
PARKED = "msgctl:parked"  # HASH of ids whose job hash cannot be worked, to the status it had
AUDITED = "msgctl:audited"  # STRING with a TTL: the mailboxes were looked through a moment ago
QUARANTINE_KEEPER = "msgctl:quarantine:keeper"  # STRING with a TTL: the worker whose child works the quarantine
BREAKERS = "msgctl:breakers"  # HASH of webhook path to "openUntilMs openings": the workflows that are not called
BREAKER = "msgctl:breaker:"  # + webhook path: HASH {streak, BUCKET:good, BUCKET:bad} with a TTL
BREAKER_PROBE = ":probe"  # msgctl:breaker:PATH + this: STRING with a TTL, someone tries a half-open workflow
N8N_OUTAGE = "msgctl:n8n:outage"  # HASH {since, count, shut, refused, permits, tried, step, next} with a TTL
N8N_HELD = "msgctl:n8n:held"  # ZSET of message ids that wait for n8n, by the millisecond they may go on
N8N_DOUBTFUL = "msgctl:n8n:doubtful"  # the same where perhaps one workflow is at fault: a failed probe moves them
N8N_PROBER = "msgctl:n8n:prober"  # STRING with a TTL: the worker that probes n8n
IDLE_WORKERS = "msgctl:workers:idle"  # SET of worker names with free slots, to be woken
ORDER = "msgctl:order:"  # + worker name: STRING with a TTL, what an operator told it: drain or stop
WAKE = "msgctl:wake:"  # + worker name: LIST, a token wakes the worker that blocks on it
RESPONSES = "msgctl:responses"  # STREAM of responses (and failures) to deliver, the durable truth
RESPONSES_GROUP = "delivery"  # its consumer group
RESPONSES_SETTLED = "msgctl:responses:settled"  # STRING, the stream id before which nothing is left to deliver
RESPONSES_LOST = (
    "msgctl:responses:lost"  # STRING, the ms at which entries were found cut before they were delivered
)
RESPONSES_RECOVERING = "msgctl:responses:recovering"  # STRING with a TTL: a subscriber puts them back
POSTPONED = "msgctl:postponed"  # ZSET of message ids by the millisecond their delivery is tried again
HELD = "msgctl:held:"  # + channel: ZSET of message ids that wait for a paused or broken channel, oldest first
CHANNEL_STATE = (
    "msgctl:channel:"  # + channel: HASH {pausedAt, reason, streak, openings, openUntil, resumedAt, code, …}
)
CHANNEL_PROBE = ":probe"  # msgctl:channel:NAME + this: STRING with a TTL, somebody tries a broken channel
BUCKET = "msgctl:bucket:"  # + name: STRING with a TTL, the ms by which what was sent is within the rate again
LIMITED = "msgctl:limited:"  # + name of a bucket: ZSET with a TTL, the narrower buckets that were closed lately
CALLBACKS_GONE = (
    "msgctl:callbacks:gone"  # ZSET of "digest host" of URLs that said 410, by the ms they may be tried again
)
WINDOW = (
    "msgctl:window:"  # + digest of a phone number: STRING with a TTL, the ms of its last word to us on WhatsApp
)
ALIAS = "msgctl:alias:"  # + id of an address: STRING with a TTL, the conversation of the customer who has it
ALIASES = "msgctl:aliases:"  # + conversation: SET with a TTL of the ids whose alias leads to it
INBOUND = "msgctl:inbound:"  # + message id: STRING with a TTL, a provider's webhook already taken in
ADOPTED = "msgctl:adopted:"  # + channel + ":" + message id: STRING, a foreign response already in the stream
SUBSCRIBERS = "msgctl:subscribers"  # HASH of subscriber name to the Unix millisecond of its last sign of life
GATEWAYS = "msgctl:gateways"  # HASH of gateway name to the Unix millisecond of its last sign of life
INBOX = "msgctl:inbox:"  # + gateway name: STREAM of frames for sockets that this gateway holds
INBOX_LIMIT = "50000"  # frames that may wait for one gateway: a reply to a thousand sockets must not cut others'
INBOX_TTL = "3600000"  # milliseconds after which the inbox of a gateway that went is gone
SOCKET = "msgctl:socket:"  # + socket id: HASH {gateway, user} with a TTL
SOCKETS = "msgctl:sockets:"  # + conversation: SET of socket ids that joined it
TICKET = "msgctl:ticket:"  # + SHA-256 of the ticket: STRING, whom it lets into the WebSocket once, for 30 s
QUOTA = "msgctl:quota:"  # + user: STRING with a TTL, the millisecond at which all requests are paid for
BACKLOG = "msgctl:backlog:"  # + user: LIST of ids of messages that may be under way, where there is a bound
OCCUPANTS = "msgctl:occupants:"  # + user: or address: + which: HASH of gateway name to the sockets it holds for it
DELIVERY = "msgctl:delivery:"  # + message id: HASH {state, channel, attempts, part, providerId, code, text, …}
EVENTS = "msgctl:events"  # STREAM, the ledger: every transition of every message, bounded
EVENTS_LIMIT = "1000000"  # entries it never exceeds, whoever trims it or does not
EVENTS_PROJECTED = "msgctl:events:projected"  # STRING, the stream id up to which PostgreSQL has the ledger
EVENTS_LOST = "msgctl:events:lost"  # STRING, how many events were cut before PostgreSQL had them
CANARY = "msgctl:canary"  # HASH {id, sentAt, arrivedAt, since}: the synthetic message, times in Unix milliseconds
CANARY_SENDING = "msgctl:canary:sending"  # STRING with a TTL: somebody sends it right now
PROBE = "msgctl:probe"  # STRING with a TTL: written to see whether Redis takes writes
PROGRESS_CHANNEL = "msgctl:progress"  # PUBLISH of {messageId, conversationId, userId, progress} for observers

# ── Channels of the contract ────────────────────────────────────────────────────────────────────────────
RESPONSE_CHANNEL = "pubsub:response:"  # + channel
CONVERSATION_CHANNEL = "pubsub:conversation:"  # + conversation
AGENT_NOTIFICATIONS = "msgctl_agents"  # PostgreSQL NOTIFY channel: the id of an agent that changed
TIER_NOTIFICATIONS = "msgctl_user_tiers"  # the same for tiers: the id of the user

LUA_NAMES: dict[str, str] = {
    name.lower(): value for name, value in dict(globals()).items() if name.isupper() and isinstance(value, str)
}
"""What `K.name` stands for in a Lua script; `storage.redis.lua` writes the values in."""


def job_key(message_id: str) -> str:
    """The RQ job hash of a message."""
    return RQ_JOB + message_id


def queue_name(priority: int) -> str:
    """The RQ queue of a priority, 1 to 10."""
    return f"{QUEUE}{priority}"
