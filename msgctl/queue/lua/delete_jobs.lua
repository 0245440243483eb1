-- DELETE JOBS: delete ended messages. A message that has not ended, or whose delivery is postponed, is left unchanged.
--
-- ARGV: `finished` or `failed`, Unix ms before which a message must have ended, then ids.
-- Returns how many were deleted.
local status, ended_before = ARGV[1], tonumber(ARGV[2])
local deleted = 0
for i = 3, #ARGV do
  local id = ARGV[i]
  local job = K.rq_job .. id
  local fields = redis.call('HMGET', job, 'status', 'origin', K.field_finished)
  local postponed = redis.call('ZSCORE', K.postponed, id)
  if fields[1] == status and tonumber(fields[3] or 0) < ended_before and not postponed then
    redis.call('ZREM', (status == 'failed' and K.rq_failed or K.rq_finished) .. fields[2], id)
    redis.call('DEL', job, K.delivery .. id)
    record_event(id, 'removed', 'operator', 'state', status)
    if redis.call('EXISTS', K.identity .. id) == 1 then redis.call('HSET', K.identity .. id, K.identity_removed, 1) end
    deleted = deleted + 1
  end
end
return deleted
