-- REMOVE: forget messages that are over. A message in play, or one whose delivery is still to be made, is left alone.
--
-- ARGV: `finished` or `failed`, oldest end to keep in Unix ms, then ids.   Returns how many were removed.
local status, keep_since = ARGV[1], tonumber(ARGV[2])
local count = 0
for i = 3, #ARGV do
  local id = ARGV[i]
  local job = K.rq_job .. id
  local fields = redis.call('HMGET', job, 'status', 'origin', K.field_finished)
  local waits = redis.call('ZSCORE', K.postponed, id)
  if fields[1] == status and tonumber(fields[3] or 0) < keep_since and not waits then
    redis.call('ZREM', (status == 'failed' and K.rq_failed or K.rq_finished) .. fields[2], id)
    redis.call('DEL', job, K.delivery .. id)
    record_event(id, 'removed', 'operator', 'state', status)
    if redis.call('EXISTS', K.identity .. id) == 1 then redis.call('HSET', K.identity .. id, K.identity_removed, 1) end
    count = count + 1
  end
end
return count
