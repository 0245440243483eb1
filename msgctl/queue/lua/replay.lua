-- REPLAY: enqueue dead letters again with all their attempts, each right behind the head of its conversation.
--
--   rq:job:ID               HASH  deferred or queued again; a stored reply stays in it
--   rq:failed:messages:P    ZSET  loses the id
--   msgctl:mailbox:C        LIST  gains it behind its head
--   msgctl:conversation:C   HASH  its TTL starts again
--
-- ARGV: TTL of a conversation in ms, then ids.   Returns for each replayed, missing or not_failed.
local conversation_ttl, now = tonumber(ARGV[1]), now_ms()

local function replay(id)
  local job = K.rq_job .. id
  local fields = redis.call('HMGET', job, 'status', 'origin', K.field_conversation, K.field_user, K.field_key)
  if not fields[1] then return 'missing' end
  if fields[1] ~= 'failed' then return 'not_failed' end
  local conversation = fields[3]
  local mailbox = K.mailbox .. conversation
  redis.call('ZREM', K.rq_failed .. fields[2], id)
  redis.call('PERSIST', job)
  if fields[5] then redis.call('PERSIST', fields[5]) end
  redis.call('HDEL', job, K.field_finished, K.field_quarantined, K.field_down_since)
  redis.call('HSET', job, 'status', 'deferred', 'ended_at', '', K.field_attempts, 0, K.field_crashes, 0,
    K.field_holds, 0, K.field_progress, 0)
  redis.call('HSETNX', K.conversation .. conversation, 'user', fields[4])
  redis.call('PEXPIRE', K.conversation .. conversation, conversation_ttl)
  record_event(id, 'replayed', 'operator')
  local head = redis.call('LINDEX', mailbox, 0)
  if head then
    redis.call('LINSERT', mailbox, 'AFTER', head, id)
    redis.call('ZADD', K.rq_deferred .. fields[2], '+inf', id)
  else
    redis.call('RPUSH', mailbox, id)
    make_ready(id, now, true)
  end
  return 'replayed'
end

local outcomes = {}
for i = 2, #ARGV do outcomes[#outcomes + 1] = replay(ARGV[i]) end
return outcomes
