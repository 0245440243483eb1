-- SETTLE: a try ended. The record says how, and the stream is told that the delivery is over.
--
--   msgctl:delivery:ID   HASH    SENDING → SENT | FAILED | UNKNOWN; or NEW, with the next part to send
--   msgctl:responses     STREAM  acknowledged, unless parts are left
--
-- ARGV: id, token of the try, its stream entry, state (NEW: this part is sent, go on with the next),
--       provider's id, code, text, next part.
-- A try that another subscriber has called UNKNOWN meanwhile may still tell how it ended.
-- Safe to send twice: the second run finds the state that the first wrote. Returns 1 if this run wrote it.
local id, token, entry, state = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local provider_id, code, text, part = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local NAMES = {SENT = 'sent', FAILED = 'delivery_failed', UNKNOWN = 'unknown'}
local key = K.delivery .. id
local record = redis.call('HMGET', key, 'state', 'token', 'providerId')
if record[2] ~= token or (record[1] ~= 'SENDING' and record[1] ~= 'UNKNOWN') then return 0 end

if provider_id ~= '' then
  redis.call('HSET', key, 'providerId', record[3] and record[3] .. ',' .. provider_id or provider_id)
end
redis.call('HSET', key, 'state', state, 'part', part)
if state == 'NEW' then
  redis.call('HSET', key, 'attempts', 0)
  note(id, 'part_sent', 'subscriber', 'part', part, 'provider', provider_id)
  return 1
end
redis.call('HSET', key, 'endedAt', now_ms())
redis.call('HDEL', key, 'code', 'text', 'body')
if code ~= '' then redis.call('HSET', key, 'code', code, 'text', text) end
note(id, NAMES[state], 'subscriber', 'provider', provider_id, 'code', code)
redis.call('XACK', K.responses, K.responses_group, entry)
return 1
