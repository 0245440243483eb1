-- Record failure: apply a failed attempt to its channel: close a rate, stop the channel, or open its circuit breaker.
--
--   msgctl:channel:NAME   HASH    {code, text, failedAt} of the last failure; {pausedAt, reason}: stopped, until an
--                                 operator resumes it; {streak, openings, openUntil}: its circuit breaker
--   msgctl:bucket:NAME    STRING  no process sends within this rate before the pause has passed
--   msgctl:callbacks:gone ZSET    URLs that are not called, by the ms until which
--
-- ARGV: channel, code, text, effect (answers: the provider works; breaks; stops), bucket ('': none), ms that a send
--       costs, burst, ms to close it for, URL that is gone ('': none), ms for which it is not called, then of the
--       circuit breaker: streak that opens it, ms of the first opening, longest opening.
-- Sent twice it may count a failure twice. Returns 'stopped' or 'opened' if this run did that, else ''.
local channel, code, text, effect, bucket, url = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[9]
local key = K.channel_state .. channel
local now = now_ms()
redis.call('HSET', key, 'code', code, 'text', text, 'failedAt', now)

if bucket ~= '' then
  local full_at = now + ARGV[8] + ARGV[6] * (ARGV[7] - 1)
  full_at = math.max(full_at, tonumber(redis.call('GET', K.bucket .. bucket) or 0))
  redis.call('SET', K.bucket .. bucket, string.format('%.3f', full_at), 'PX', math.ceil(full_at - now) + 1000)
end
if url ~= '' then
  redis.call('ZREMRANGEBYSCORE', K.callbacks_gone, '-inf', now)
  redis.call('ZADD', K.callbacks_gone, now + ARGV[10], url)
end
if effect == 'stops' then
  redis.call('DEL', key .. K.channel_probe)
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
