-- HEARTBEAT: the worker lives; its leases are renewed; the ones it has lost are named.
--
--   rq:worker:W           HASH  last_heartbeat, state; expires when the worker falls silent
--   msgctl:leases         ZSET  a renewed lease ends later; one that is gone is not revived
--   rq:execution:ID:RUN   HASH  last_heartbeat, for RQ's tools
--
-- ARGV: worker, lease in ms, worker's TTL in s, state, then ID:RUN of everything it runs.
-- Returns 1 if RQ still knows this worker's birth, else 0: it was silent for so long that its entry expired; then
-- the ID:RUN it holds no longer and has not ended itself a moment ago.
local worker, lease, ttl, state = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local key = K.rq_worker .. worker
local now, found = now_ms(), {redis.call('HEXISTS', key, 'birth')}

local function ended(member)
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
  elseif not ended(member) then
    found[#found + 1] = member
  end
end
return found
