-- Finish attempt: record how an attempt ended, and acknowledge the stream entry if the delivery has ended.
--
--   msgctl:delivery:ID   HASH    SENDING → SENT | FAILED | UNKNOWN; or NEW, with the next part to send. What the
--                                provider has reported meanwhile counts: see the library `parts`.
--                                FAILED and UNKNOWN keep the body, for an operator's retry, and so does SENT if it is
--                                not kept among the replies
--   msgctl:postponed     ZSET    loses the delivery, or gains it if parts are sent again
--   msgctl:responses     STREAM  acknowledged, unless parts are left
--   msgctl:channel:NAME  HASH    a successful send closes its circuit breaker
--
-- ARGV: id, token of the attempt, its stream entry, state (NEW: this part was sent, continue with the next),
--       provider's id, code, text, how many parts were sent in their order, body, index of this part.
-- An attempt that another subscriber has marked UNKNOWN meanwhile may still record its outcome.
-- Safe to send twice: the second run finds the state that the first wrote. Returns 1 if the caller may continue, and 2 if the
-- provider has reported that a part did not arrive.
local id, token, entry, state = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local provider_id, code, text, part, body = ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local index = ARGV[10]
local EVENTS = {FAILED = 'delivery_failed', UNKNOWN = 'unknown'}
local key = K.delivery .. id
local record = redis.call('HMGET', key, 'state', 'token', 'seq', 'resolver', 'part', 'channel', 'body', 'repeat',
  'resends')
if record[1] == 'NEW' and state == 'NEW' and record[2] == token and record[5] == part then return 1 end
local is_late = record[1] == 'UNKNOWN'
if not (record[2] == token and record[1] == 'SENDING' or is_late and (record[2] == token or record[4] == token)) then
  return 0
end

if state == 'NEW' or state == 'SENT' then
  store_part_id(key, tonumber(index), provider_id)
  local repeats = split_list(record[8])
  if repeats[1] == index then
    table.remove(repeats, 1)
    redis.call('HSET', key, 'repeat', table.concat(repeats, ','))
  end
  if tonumber(record[9] or 0) > 0 then redis.call('HINCRBY', key, 'strays', record[9]) end
end
redis.call('HSET', key, 'state', state, 'part', part)
redis.call('ZREM', K.postponed, id)
if state == 'NEW' or state == 'SENT' then close_channel_breaker(record[6]) end
if state == 'NEW' then
  redis.call('HSET', key, 'attempts', 0, 'resends', 0, 'waits', 0)
  redis.call('HDEL', key, 'doubted')
  record_event(id, 'part_sent', 'subscriber', 'part', tonumber(index) + 1, 'provider', provider_id)
  if is_late and record[7] then  -- its entry is acknowledged: maintain_stream brings the next part
    redis.call('ZADD', K.postponed, now_ms(), id)
    return 0
  end
  return 1
end
redis.call('HSET', key, 'endedAt', now_ms())
redis.call('HDEL', key, 'code', 'text', 'body', 'doubted', 'open')
if body ~= '' and (state ~= 'SENT' or not record[3] or record[3] == '0') then redis.call('HSET', key, 'body', body) end
redis.call('XACK', K.responses, K.responses_group, entry)
if state == 'SENT' then
  redis.call('HDEL', key, 'texts')
  record_event(id, 'sent', 'subscriber', 'provider', provider_id, 'code', code)
  return settle_parts(id, key, 'provider') == 'SENT' and 1 or 2
end
if code ~= '' then redis.call('HSET', key, 'code', code, 'text', text) end
record_event(id, EVENTS[state], 'subscriber', 'provider', provider_id, 'code', code)
if state == 'UNKNOWN' then resolve_by_early_status(id, key) end
return 1
