-- CANCEL: end a waiting or delayed message as a dead letter. Its sender is notified and its conversation continues.
--
--   rq:queue:messages:P               LIST  loses the id; from a very long list the next claim drops it instead
--   rq:deferred|scheduled:messages:P  ZSET  loses it
--   rq:job:ID, rq:failed:messages:P   failed, so that a replay can undo the cancellation
--
-- ARGV: id, TTL of a dead letter in ms, error JSON, failure JSON for its sender.
-- Safe to send twice: the second run sees that the message is cancelled. Returns cancelled, missing, or RQ's status.
local MAX_SCANNED_LENGTH = 10000  -- entries; LREM on a longer list would block Redis for too long
local id = ARGV[1]
local fields = read_job(id, 'status', 'origin', K.field_quarantined, K.field_error)
local status, origin = fields[1], fields[2]
if not status or not origin then return 'missing' end
if status == 'queued' then
  local queue = K.rq_queue .. (fields[3] and K.quarantine or origin)
  if redis.call('LLEN', queue) <= MAX_SCANNED_LENGTH then redis.call('LREM', queue, 1, id) end
elseif status == 'deferred' then
  redis.call('ZREM', K.rq_deferred .. origin, id)
elseif status == 'scheduled' then
  redis.call('ZREM', K.rq_scheduled .. origin, id)
elseif status == 'failed' and fields[4] == ARGV[3] then
  return 'cancelled'
else
  return status
end
redis.call('HSET', K.rq_job .. id, K.field_error, ARGV[3])
dead_letter(id, now_ms(), tonumber(ARGV[2]), ARGV[4], 'operator', 'cancelled')
return 'cancelled'
