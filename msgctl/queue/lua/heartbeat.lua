-- HEARTBEAT: record that the worker is alive, renew its leases, and return the leases it has lost.
--
--   rq:worker:W           HASH  last_heartbeat, state; expires if no heartbeat follows
--   msgctl:leases         ZSET  a renewed lease ends later; a lost one is not restored
--   rq:execution:ID:RUN   HASH  last_heartbeat, for RQ's tools
--
-- ARGV: worker, lease in ms, worker's TTL in s, state, then ID:RUN of each message it runs.
-- Returns 1 if RQ still knows this worker's birth, or 0 if its entry expired for lack of heartbeats; then each ID:RUN
-- that has no lease any more and that this worker did not end itself.
local worker, lease, ttl, state = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local key = K.rq_worker .. worker
local now, result = now_ms(), {redis.call('HEXISTS', key, 'birth')}

local function has_ended(member)
  local id, run = string.match(member, '^(.+):(%d+)$')
  local fields = redis.call('HMGET', K.rq_job .. id, K.field_committed, K.field_run .. run)
  return fields[2] or (fields[1] and string.match(fields[1], '^%d+') == run)
end

redis.call('HSET', key, 'last_heartbeat', iso(now), 'state', state)
redis.call('EXPIRE', key, ttl)
redis.call('SADD', K.rq_workers, key)
for i = 5, #ARGV do
  local member = ARGV[i]
  if redis.call('ZSCORE', K.leases, member) then
    redis.call('ZADD', K.leases, now + lease, member)
    redis.call('HSET', K.rq_execution .. member, 'last_heartbeat', now / 1000)
  elseif not has_ended(member) then
    result[#result + 1] = member
  end
end
return result
