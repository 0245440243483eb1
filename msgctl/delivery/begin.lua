-- BEGIN: may this delivery be sent now? If so it is SENDING, before the provider is called.
--
--   msgctl:delivery:ID    HASH    NEW → SENDING; one that is over is not begun again
--   msgctl:replies:C      ZSET    names the response that comes before it in its conversation …
--   msgctl:postponed      ZSET    … which may wait for its next attempt …
--   msgctl:responses      STREAM  … or be still to deliver: then this one waits too
--
-- ARGV: id, token of this try, its stream entry, channel, conversation, seq (0: it has none),
--       1 if sending twice does no harm, TTL of the record in ms.
-- Safe to send twice: the second run finds its own token.
-- Returns {'go', part, attempts}, {'behind', the ms before which it is not its turn} or {'over', state}.
local id, token, entry, channel = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local conversation, seq, repeatable, ttl = ARGV[5], tonumber(ARGV[6]), ARGV[7] == '1', ARGV[8]
local key = K.delivery .. id
local now = now_ms()

local function over(state)
  redis.call('XACK', K.responses, K.responses_group, entry)
  return {'over', state}
end

-- Whether a stream entry is still to be delivered: not yet read by anyone, or read and not acknowledged.
local function is_open(stream_id)
  local group = delivery_group()
  return not group or is_after(stream_id, group['last-delivered-id'])
    or #redis.call('XPENDING', K.responses, K.responses_group, stream_id, stream_id, 1) > 0
end

-- When to look again, if the response before this one in its conversation is not over; else nil.
local function blocked_until()
  local before = redis.call('ZREVRANGEBYSCORE', K.replies .. conversation, '(' .. seq, '-inf', 'LIMIT', 0, 1)[1]
  if not before then return nil end
  local reply = cjson.decode(before)
  local state = redis.call('HGET', K.delivery .. reply.messageId, 'state')
  if state == 'NEW' then
    return (tonumber(redis.call('ZSCORE', K.postponed, reply.messageId)) or now + 250) + 1
  end
  if state == 'SENDING' or not state and is_open(reply.streamId) then return now + 250 end
end

local record = redis.call('HMGET', key, 'state', 'token', 'part', 'attempts')
local state = record[1]
if state == 'SENDING' then
  if record[2] == token then return {'go', tonumber(record[3] or 0), tonumber(record[4])} end
  if not repeatable then
    redis.call('HSET', key, 'state', 'UNKNOWN', 'endedAt', now, 'code', 'sender_lost',
      'text', 'The subscriber ended while it was sending this: it may have arrived.')
    note(id, 'unknown', 'subscriber', 'code', 'sender_lost')
    return over('UNKNOWN')
  end
elseif state and state ~= 'NEW' then
  return over(state)
end

local due = seq > 0 and blocked_until()
if due then return {'behind', due} end
redis.call('HSETNX', key, 'createdAt', now)
redis.call('HSET', key, 'state', 'SENDING', 'token', token, 'channel', channel, 'sendingAt', now)
redis.call('PEXPIRE', key, ttl)
local part, attempts = tonumber(record[3] or 0), redis.call('HINCRBY', key, 'attempts', 1)
note(id, 'sending', 'subscriber', 'channel', channel, 'part', part, 'attempt', attempts,
  'repeatable', repeatable and 1 or 0)
return {'go', part, attempts}
