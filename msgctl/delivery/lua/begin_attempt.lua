-- BEGIN: may this delivery be sent now? If so it is SENDING, before the provider is called.
--
--   msgctl:delivery:ID    HASH    NEW → SENDING; one that is over is not begun again; UNKNOWN where the sender is lost
--   msgctl:replies:C      ZSET    names the response that comes before it in its conversation …
--   msgctl:postponed      ZSET    … which may wait for its next attempt …
--   msgctl:responses      STREAM  … or be still to deliver: then this one waits too
--   msgctl:channel:NAME   HASH    {pausedAt, openUntil}: a channel that is paused or broken holds what it has
--   msgctl:channel:NAME:probe STRING  half open: one at a time may try
--   msgctl:bucket:NAME    STRING  the rates; each of them pays for this send, or none does
--   msgctl:window:PHONE   STRING  when that number last wrote to us on WhatsApp
--   msgctl:callbacks:gone ZSET    URLs that are not called
--
-- ARGV: id, token of this try, its stream entry, channel, conversation, seq (0: it has none),
--       1 if sending twice does no harm, TTL of the record in ms, 1 to send once more what is UNKNOWN,
--       window ('': none), URL ('': none), then for each bucket: name, ms a send costs, burst.
-- Safe to send twice: the second run finds its own token. (A probe or a token of a bucket may be spent for nothing.)
-- Returns {'go', part, attempts, resends, refusal, waits} with refusal '', 'window_closed' or 'callback_gone',
--   {'doubt', part, attempts, resends, the ms it was sent, code, text, 1 if nobody knew before}: it is UNKNOWN, and
--   this caller's to resolve,
--   {'behind', the ms before which it is not its turn}, {'pace', ms to wait}, {'held'} or {'over', state}.
local id, token, entry, channel = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local conversation, seq, repeatable, ttl = ARGV[5], tonumber(ARGV[6]), ARGV[7] == '1', ARGV[8]
local resend, window, url = ARGV[9] == '1', ARGV[10], ARGV[11]
local key = K.delivery .. id
local now = now_ms()
local DAY = 86400000

local function over(state)
  redis.call('XACK', K.responses, K.responses_group, entry)
  return {'over', state}
end

-- When to look again, if the response before this one in its conversation is not over; else nil.
local function blocked_until()
  local before = redis.call('ZREVRANGEBYSCORE', K.replies .. conversation, '(' .. seq, '-inf', 'LIMIT', 0, 1)[1]
  if not before then return nil end
  local reply = cjson.decode(before)
  local found = redis.call('HMGET', K.delivery .. reply.messageId, 'state', 'endedAt')
  local state = found[1]
  if state == 'NEW' or state == 'UNKNOWN' and not found[2] then
    return (tonumber(redis.call('ZSCORE', K.postponed, reply.messageId)) or now + 250) + 1
  end
  if state == 'SENDING' or not state and is_undelivered(reply.streamId, read_consumer_group()) then return now + 250 end
end

-- The ms until every bucket has room.
local function shortage()
  local wait = 0
  for i = 12, #ARGV, 3 do
    local full = tonumber(redis.call('GET', K.bucket .. ARGV[i]) or 0)
    wait = math.max(wait, full - ARGV[i + 1] * (ARGV[i + 2] - 1) - now)
  end
  return math.ceil(wait)
end

local function pay()
  for i = 12, #ARGV, 3 do
    local name = K.bucket .. ARGV[i]
    local full = math.max(now, tonumber(redis.call('GET', name) or 0)) + ARGV[i + 1]
    redis.call('SET', name, string.format('%.3f', full), 'PX', math.ceil(full - now) + 1000)
  end
end

local function refusal()
  local last = window ~= '' and redis.call('GET', K.window .. window)
  if last and now - tonumber(last) > DAY then return 'window_closed' end
  local gone = url ~= '' and redis.call('ZSCORE', K.callbacks_gone, url)
  return gone and tonumber(gone) > now and 'callback_gone' or ''
end

local record = redis.call('HMGET', key, 'state', 'token', 'part', 'attempts', 'sendingAt', 'resends', 'endedAt', 'resolver',
  'code', 'text', 'waits')
local state, part, resends = record[1], tonumber(record[3] or 0), tonumber(record[6] or 0)
local waits = tonumber(record[11] or 0)
local function doubt(found_now)
  local sent_at = tonumber(record[5] or now)
  return {'doubt', part, tonumber(record[4] or 0), resends, sent_at, record[9] or '', record[10] or '', found_now}
end

-- Acknowledged by another, or cut from the stream and put back as another entry: not this caller's any more.
if #redis.call('XPENDING', K.responses, K.responses_group, entry, entry, 1) == 0 then return {'over', 'not pending'} end
if state == 'SENDING' then
  if record[2] == token then return {'go', part, tonumber(record[4]), resends, refusal(), waits} end
  if not repeatable then
    record[9], record[10] = 'sender_lost', 'The subscriber ended while it was sending this: it may have arrived.'
    redis.call('HSET', key, 'state', 'UNKNOWN', 'resolver', token, 'code', record[9], 'text', record[10])
    record_event(id, 'unknown', 'subscriber', 'code', 'sender_lost', 'again_ms', 0)
    return doubt(1)
  end
elseif state == 'UNKNOWN' and not record[7] then
  if not (resend and record[8] == token) then
    redis.call('HSET', key, 'resolver', token)
    return doubt(0)
  end
elseif state and state ~= 'NEW' then
  return over(state)
end

local closed, half_open = is_channel_closed(channel, now)
if closed then return {'held'} end
local due = seq > 0 and blocked_until()
if due then return {'behind', due} end
local wait = shortage()
if wait > 0 then return {'pace', wait} end
if half_open and not redis.call('SET', K.channel_state .. channel .. K.channel_probe, id, 'NX', 'PX', 30000) then
  return {'held'}
end
pay()

redis.call('HSETNX', key, 'createdAt', now)
redis.call('HSET', key, 'state', 'SENDING', 'token', token, 'channel', channel, 'sendingAt', now)
if state == 'UNKNOWN' then resends = redis.call('HINCRBY', key, 'resends', 1) end
redis.call('PEXPIRE', key, ttl)
local attempts = redis.call('HINCRBY', key, 'attempts', 1)
record_event(id, 'sending', 'subscriber', 'channel', channel, 'part', part, 'attempt', attempts,
  'repeatable', repeatable and 1 or 0)
return {'go', part, attempts, resends, refusal(), waits}
