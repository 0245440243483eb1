-- TAKE PERMIT: ask whether one call may be made while the gate of n8n is shut.
--
--   msgctl:n8n:outage   HASH  permits - 1; tried: the ms of the last call without a permit
--
-- If the probe cannot see n8n's return, e.g. behind a proxy that rejects its path, one call each 15 s still sees it.
-- Returns 1 if it may, otherwise 0.
local TRIAL_INTERVAL = 15000  -- milliseconds
local now = now_ms()
local fields = redis.call('HMGET', K.n8n_outage, 'shut', 'permits', 'tried')
if not fields[1] then return 1 end
if (tonumber(fields[2]) or 0) > 0 then
  redis.call('HINCRBY', K.n8n_outage, 'permits', -1)
  return 1
end
if now - (tonumber(fields[3]) or 0) < TRIAL_INTERVAL then return 0 end
redis.call('HSET', K.n8n_outage, 'tried', now)
return 1
