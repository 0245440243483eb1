-- ENQUEUE: accept a message once, and queue it if it is the head of its conversation.
--
--   rq:job:ID              HASH  written unless the id is known
--   rq:queue:messages:P    LIST  gains the id if it is the head of its mailbox …
--   rq:deferred:messages:P ZSET  … else it waits here, behind its conversation
--   msgctl:mailbox:C       LIST  the messages of the conversation; only the head is queued, running, or delayed
--   msgctl:conversation:C  HASH  {user, seq, …}: its owner
--   msgctl:identity:ID     HASH  {user, digest, conversation}: the answer given, kept for 24 h; the job hash holds the
--                                same for a message that has not ended or is kept for longer
--   msgctl:idempotency:N:U:K STRING the message id of a client's key; expires after the message has ended
--   msgctl:backlog:U       LIST  the user's messages that may be in progress, if their number is limited
--   msgctl:events          STREAM accepted
--
-- Safe to send twice: the second run finds the identity and returns the same answer.
-- Returns {status, id, conversation}; status ∈ accepted, repeated, conflict, foreign, full, crowded.
local id, user, conversation, queue = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local message, digest, data, description = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local channel, priority, idempotency_key = ARGV[9], ARGV[10], ARGV[11]
local identity_ttl, conversation_ttl, max_mailbox = tonumber(ARGV[12]), tonumber(ARGV[13]), tonumber(ARGV[14])
local actor, max_backlog, agent = ARGV[15], tonumber(ARGV[16]), ARGV[17]

-- Whether the user has reached its limit of messages in progress. Only this function removes ended messages from the
-- list, so no other script has to maintain it. It checks up to 64 and moves the rest to the end, to check all in turn.
local function is_backlog_full(backlog)
  for _ = 1, 64 do
    if redis.call('LLEN', backlog) < max_backlog then return false end
    local oldest = redis.call('LPOP', backlog)
    local status = read_job(oldest, 'status')[1]
    if status and status ~= 'finished' and status ~= 'failed' then redis.call('RPUSH', backlog, oldest) end
  end
  return redis.call('LLEN', backlog) >= max_backlog
end

-- The length of the user id makes the name unambiguous, because both parts may contain a colon.
local key_name = K.idempotency .. #user .. ':' .. user .. ':' .. idempotency_key
if idempotency_key ~= '' then
  id = redis.call('GET', key_name) or id
end

local known = redis.call('HMGET', K.identity .. id, 'user', 'digest', 'conversation')
if not known[1] then known = read_job(id, K.field_user, K.field_digest, K.field_conversation) end
if known[1] then
  if is_owner(known[1], user) and known[2] == digest then return {'repeated', id, known[3]} end
  return {'conflict', id, ''}
end
if redis.call('EXISTS', K.rq_job .. id) == 1 then return {'conflict', id, ''} end

local owner = redis.call('HGET', K.conversation .. conversation, 'user')
if owner and not is_owner(owner, user) then return {'foreign', id, ''} end

local mailbox = K.mailbox .. conversation
local ahead = redis.call('LLEN', mailbox)
if ahead >= max_mailbox then return {'full', id, conversation} end
local backlog = K.backlog .. user
if max_backlog > 0 then
  if is_backlog_full(backlog) then return {'crowded', id, conversation} end
  redis.call('RPUSH', backlog, id)
  redis.call('PEXPIRE', backlog, conversation_ttl)
end

local now = now_ms()
if not owner then redis.call('HSET', K.conversation .. conversation, 'user', user) end
redis.call('PEXPIRE', K.conversation .. conversation, conversation_ttl)
redis.call('HSET', K.identity .. id, 'user', user, 'digest', digest, 'conversation', conversation)
redis.call('PEXPIRE', K.identity .. id, identity_ttl)
if idempotency_key ~= '' then
  redis.call('SET', key_name, id)
  redis.call('HSET', K.rq_job .. id, K.field_key, key_name)
end

-- Fields that RQ would leave blank are omitted. RQ reads both alike, and nine blank fields would be a fifth of the
-- memory of a waiting message.
local is_head = ahead == 0
local created_at = iso(now)
redis.call('HSET', K.rq_job .. id,
  'created_at', created_at, 'data', data, 'origin', queue, 'description', description,
  'status', is_head and 'queued' or 'deferred',
  K.field_message, message, K.field_user, user, K.field_digest, digest, K.field_conversation, conversation,
  K.field_channel, channel, K.field_agent, agent, K.field_priority, priority, K.field_progress, 0,
  unpack(is_head and {'enqueued_at', created_at, K.field_ready, now} or {}))
redis.call('SADD', K.rq_queues, K.rq_queue .. queue)
redis.call('RPUSH', mailbox, id)
record_event(id, 'accepted', actor, 'conversation', conversation, 'channel', channel, 'priority', priority,
  'ahead', ahead)
if is_head then
  redis.call('RPUSH', K.rq_queue .. queue, id)
  wake_idle_worker()
else
  redis.call('ZADD', K.rq_deferred .. queue, '+inf', id)
end
return {'accepted', id, conversation}
