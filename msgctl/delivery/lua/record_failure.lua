-- Record failure: apply a failed attempt to its channel: close a rate, stop the channel, or open its circuit breaker.
--
--   msgctl:channel:NAME   HASH    {code, text, failedAt} of the last failure; {pausedAt, reason}: stopped, until an
--                                 operator resumes it at resumedAt; {streak, openings, openUntil}: its circuit breaker
--   msgctl:bucket:NAME    STRING  no process sends within this rate before the pause has passed
--   msgctl:limited:NAME   ZSET    the narrow rates of a wider one that were exceeded lately, by the ms: several of them
--                                 close the wider one as well
--   msgctl:callbacks:gone ZSET    URLs that are not called, by the ms until which
--
-- ARGV: channel, code, text, effect (answers: the provider works; breaks; stops), bucket ('': none), ms that a send
--       costs, burst, ms to close it for, URL that is gone ('': none), ms for which it is not called, then of the
--       circuit breaker: streak that opens it, ms of the first opening, longest opening; then the wider rate: bucket
--       ('': none), ms that a send costs, burst; ms of the send (0: now).
-- Sent twice it may count a failure twice. Returns 'stopped' or 'opened' if this run did that, else ''.
local channel, code, text, effect, bucket, url = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[9]
local key = K.channel_state .. channel
local now = now_ms()
redis.call('HSET', key, 'code', code, 'text', text, 'failedAt', now)

local NARROW_RATES, WITHIN_MS = 3, 10000

local function close_rate(name, interval, burst)
  local full_at = now + ARGV[8] + interval * (burst - 1)
  full_at = math.max(full_at, tonumber(redis.call('GET', K.bucket .. name) or 0))
  redis.call('SET', K.bucket .. name, string.format('%.3f', full_at), 'PX', math.ceil(full_at - now) + 1000)
end

-- Whether several narrow rates of a wider one were exceeded within a short time.
local function is_wider_exceeded(wider)
  local key_of_narrow = K.limited .. wider
  redis.call('ZREMRANGEBYSCORE', key_of_narrow, '-inf', now - WITHIN_MS)
  redis.call('ZADD', key_of_narrow, now, bucket)
  redis.call('PEXPIRE', key_of_narrow, WITHIN_MS)
  return redis.call('ZCARD', key_of_narrow) >= NARROW_RATES
end

if bucket ~= '' then close_rate(bucket, ARGV[6], ARGV[7]) end
if bucket ~= '' and ARGV[14] ~= '' and is_wider_exceeded(ARGV[14]) then close_rate(ARGV[14], ARGV[15], ARGV[16]) end
if url ~= '' then
  redis.call('ZREMRANGEBYSCORE', K.callbacks_gone, '-inf', now)
  redis.call('ZADD', K.callbacks_gone, now + ARGV[10], url)
end
if effect == 'stops' then
  redis.call('DEL', key .. K.channel_probe)
  local sent_at, resumed_at = tonumber(ARGV[17]), tonumber(redis.call('HGET', key, 'resumedAt') or 0)
  if sent_at > 0 and sent_at <= resumed_at then return '' end
  if redis.call('HSETNX', key, 'pausedAt', now) == 0 then return '' end
  redis.call('HSET', key, 'reason', code)
  return 'stopped'
end
if effect == 'answers' then
  close_channel_breaker(channel)
  return ''
end
redis.call('DEL', key .. K.channel_probe)
local streak = redis.call('HINCRBY', key, 'streak', 1)
local open_until = tonumber(redis.call('HGET', key, 'openUntil') or 0)
if open_until > now or (open_until == 0 and streak < tonumber(ARGV[11])) then return '' end
local openings = redis.call('HINCRBY', key, 'openings', 1)
redis.call('HSET', key, 'openUntil', now + math.min(tonumber(ARGV[13]), ARGV[12] * 2 ^ math.min(openings - 1, 20)))
return 'opened'
