-- RELEASE HELD: let messages that wait for n8n go on, after a probe of n8n. First one message, then twice as many each
-- time, so that an n8n that has just started is not called by all of them at once.
--
--   msgctl:n8n:held            ZSET  loses the ids that are released, those that wait longest first
--   msgctl:n8n:doubtful        ZSET  while the probe fails, its ids move to held: it is not one workflow's fault
--   msgctl:n8n:outage          HASH  step: the size of the last release; next: the ms before which none follows; permits
--   rq:scheduled:messages:P    ZSET  loses the ids
--   rq:queue:messages:P        LIST  gains them
--
-- ARGV: 1 if the probe reached n8n.   Returns {messages released, messages that still wait}.
local MAX_STEP, MAX_MOVED = 200, 1000
local now = now_ms()
local up = ARGV[1] == '1'

local function still_held()
  return redis.call('ZCARD', K.n8n_held) + redis.call('ZCARD', K.n8n_doubtful)
end

if not up then
  local moved = redis.call('ZRANGE', K.n8n_doubtful, 0, MAX_MOVED - 1, 'WITHSCORES')
  for i = 1, #moved, 2 do
    local id = moved[i]
    redis.call('ZREM', K.n8n_doubtful, id)
    redis.call('ZADD', K.n8n_held, moved[i + 1], id)
  end
  redis.call('HDEL', K.n8n_outage, 'step', 'next', 'permits')
  return {0, still_held()}
end

local fields = redis.call('HMGET', K.n8n_outage, 'step', 'next', 'shut')
if now < (tonumber(fields[2]) or 0) then return {0, still_held()} end
local step = math.min(MAX_STEP, math.max(1, 2 * (tonumber(fields[1]) or 0)))
local released = 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', K.n8n_held, '-inf', now, 'LIMIT', 0, step)) do
  redis.call('ZREM', K.n8n_held, id)
  local job = read_job(id, 'status', 'origin')
  if job[1] == 'scheduled' and job[2] and redis.call('ZREM', K.rq_scheduled .. job[2], id) == 1 then
    make_ready(id, now, true)
    record_event(id, 'queued', 'n8n_probe')
    released = released + 1
  end
end
-- A doubtful message waits out its own pause while the probe succeeds. Those that ended meanwhile are forgotten.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', K.n8n_doubtful, '-inf', now, 'LIMIT', 0, MAX_MOVED)) do
  if read_job(id, 'status')[1] ~= 'scheduled' then redis.call('ZREM', K.n8n_doubtful, id) end
end
if released > 0 then
  redis.call('HSET', K.n8n_outage, 'step', step)
  if fields[3] then redis.call('HINCRBY', K.n8n_outage, 'permits', step) end
  redis.call('PEXPIRE', K.n8n_outage, 3600000)
end
return {released, still_held()}
