-- REPORT OUTAGE: count a call that found n8n down. After many in a row the gate shuts: n8n is called with a permit only.
--
--   msgctl:n8n:outage   HASH  since: ms of the first; count: in a row; shut: 1; refused: 1 if no connection was made;
--                             permits: calls let through while shut; step and next: see release_held
--
-- ARGV: failures in a row that shut it, 1 if no connection was made.   Returns 1 if the gate is shut, otherwise 0.
local TTL, PAUSE = 3600000, 1000  -- milliseconds
local max_count, now = tonumber(ARGV[1]), now_ms()
redis.call('HSETNX', K.n8n_outage, 'since', now)
local count = redis.call('HINCRBY', K.n8n_outage, 'count', 1)
redis.call('HSET', K.n8n_outage, 'refused', ARGV[2])
if count >= max_count then redis.call('HSET', K.n8n_outage, 'shut', 1) end
-- A message that was released found n8n down although the probe reached it. Then the messages themselves are the
-- probe, one each second, because a call that a proxy rejects is free.
if tonumber(redis.call('HGET', K.n8n_outage, 'step') or 0) > 0 then
  redis.call('HSET', K.n8n_outage, 'step', 0, 'permits', 0, 'next', now + PAUSE)
end
redis.call('PEXPIRE', K.n8n_outage, TTL)
return tonumber(redis.call('HGET', K.n8n_outage, 'shut') or 0)
