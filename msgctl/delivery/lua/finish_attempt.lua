-- Finish attempt: record how an attempt ended, and acknowledge the stream entry if the delivery has ended.
--
--   msgctl:delivery:ID   HASH    SENDING → SENT | FAILED | UNKNOWN; or NEW, with the next part to send.
--                                FAILED and UNKNOWN keep the body, for an operator's retry
--   msgctl:postponed     ZSET    loses the delivery
--   msgctl:responses     STREAM  acknowledged, unless parts are left
--   msgctl:channel:NAME  HASH    a successful send closes its circuit breaker
--
-- ARGV: id, token of the attempt, its stream entry, state (NEW: this part was sent, continue with the next),
--       provider's id, code, text, next part, body (of FAILED and UNKNOWN).
-- An attempt that another subscriber has marked UNKNOWN meanwhile may still record its outcome.
-- Safe to send twice: the second run finds the state that the first wrote. Returns 1 if the caller may continue.
local id, token, entry, state = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local provider_id, code, text, part, body = ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local EVENTS = {SENT = 'sent', FAILED = 'delivery_failed', UNKNOWN = 'unknown'}
local key = K.delivery .. id
local record = redis.call('HMGET', key, 'state', 'token', 'providerId', 'resolver', 'part', 'channel', 'body')
if record[1] == 'NEW' and state == 'NEW' and record[2] == token and record[5] == part then return 1 end
local is_late = record[1] == 'UNKNOWN'
if not (record[2] == token and record[1] == 'SENDING' or is_late and (record[2] == token or record[4] == token)) then
  return 0
end

if provider_id ~= '' then
  redis.call('HSET', key, 'providerId', record[3] and record[3] .. ',' .. provider_id or provider_id)
end
redis.call('HSET', key, 'state', state, 'part', part)
redis.call('ZREM', K.postponed, id)
if state == 'NEW' or state == 'SENT' then close_channel_breaker(record[6]) end
if state == 'NEW' then
  redis.call('HSET', key, 'attempts', 0, 'resends', 0, 'waits', 0)
  redis.call('HDEL', key, 'doubted')
  record_event(id, 'part_sent', 'subscriber', 'part', part, 'provider', provider_id)
  if is_late and record[7] then  -- its entry is acknowledged: maintain_stream brings the next part
    redis.call('ZADD', K.postponed, now_ms(), id)
    return 0
  end
  return 1
end
redis.call('HSET', key, 'endedAt', now_ms())
redis.call('HDEL', key, 'code', 'text', 'body')
if state == 'SENT' then redis.call('HDEL', key, 'texts') end
if body ~= '' then redis.call('HSET', key, 'body', body) end
if code ~= '' then redis.call('HSET', key, 'code', code, 'text', text) end
record_event(id, EVENTS[state], 'subscriber', 'provider', provider_id, 'code', code)
redis.call('XACK', K.responses, K.responses_group, entry)
return 1
