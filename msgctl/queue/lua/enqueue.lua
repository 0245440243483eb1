-- ENQUEUE: accept a message once, and put it into play if it heads its conversation.
--
--   rq:job:ID              HASH  written unless the id is known
--   rq:queue:messages:P    LIST  gets the id when it heads its mailbox …
--   rq:deferred:messages:P ZSET  … else it waits here, behind its conversation
--   msgctl:mailbox:C       LIST  the conversation's messages, the head alone is in play
--   msgctl:conversation:C  HASH  {user, seq, …}: who began it
--   msgctl:identity:ID     HASH  {user, digest, conversation}: what was answered, kept for 24 h; the job hash tells
--                                the same, for a message that is in play or kept for longer
--   msgctl:idempotency:N:U:K STRING the message id that a client's key stands for; expires once the message is over
--   msgctl:backlog:U       LIST  the user's messages that may be under way, if there is a bound on them
--   msgctl:events          STREAM accepted
--
-- Safe to send twice: the second run finds the identity and answers the same.
-- Returns {verdict, id, conversation}; verdict ∈ accepted, repeated, conflict, foreign, full, crowded.
local id, user, conversation, queue = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local message, digest, data, description = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local channel, priority, idempotency_key = ARGV[9], ARGV[10], ARGV[11]
local identity_ttl, conversation_ttl, max_mailbox = tonumber(ARGV[12]), tonumber(ARGV[13]), tonumber(ARGV[14])
local actor, max_backlog, agent = ARGV[15], tonumber(ARGV[16]), ARGV[17]

-- Whether the user has as many messages under way as it may have. What has ended is dropped only here, some at a
-- time, so that nobody else has to keep the list true; what has not goes to its end, so that all get their turn.
local function is_crowded(backlog)
  for _ = 1, 64 do
    if redis.call('LLEN', backlog) < max_backlog then return false end
    local other = redis.call('LPOP', backlog)
    local status = read_job(other, 'status')[1]
    if status and status ~= 'finished' and status ~= 'failed' then redis.call('RPUSH', backlog, other) end
  end
  return redis.call('LLEN', backlog) >= max_backlog
end

-- With the length of the user's name, since both may hold a colon.
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
  if is_crowded(backlog) then return {'crowded', id, conversation} end
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

-- What RQ would leave blank is left out: it reads both alike, and nine blanks would be a fifth of a waiting message.
local heads = ahead == 0
local when = iso(now)
redis.call('HSET', K.rq_job .. id,
  'created_at', when, 'data', data, 'origin', queue, 'description', description,
  'status', heads and 'queued' or 'deferred',
  K.field_message, message, K.field_user, user, K.field_digest, digest, K.field_conversation, conversation,
  K.field_channel, channel, K.field_agent, agent, K.field_priority, priority, K.field_progress, 0,
  unpack(heads and {'enqueued_at', when, K.field_ready, now} or {}))
redis.call('SADD', K.rq_queues, K.rq_queue .. queue)
redis.call('RPUSH', mailbox, id)
record_event(id, 'accepted', actor, 'conversation', conversation, 'channel', channel, 'priority', priority, 'ahead', ahead)
if heads then
  redis.call('RPUSH', K.rq_queue .. queue, id)
  wake_idle_worker()
else
  redis.call('ZADD', K.rq_deferred .. queue, '+inf', id)
end
return {'accepted', id, conversation}
