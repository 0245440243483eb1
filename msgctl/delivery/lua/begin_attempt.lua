-- Begin attempt: decide whether a delivery may be sent now. If so it becomes SENDING, before the provider is called.
--
--   msgctl:delivery:ID    HASH    NEW → SENDING; an ended one is not started again; UNKNOWN if its sender died.
--                                 texts: the parts of a text of several, which record_parts stores; '' before that
--   msgctl:replies:C      ZSET    the response before this one in its conversation …
--   msgctl:postponed      ZSET    … may wait for its next attempt …
--   msgctl:responses      STREAM  … or may still be undelivered: then this one waits too
--   msgctl:channel:NAME   HASH    {pausedAt, openUntil}: a paused or broken channel holds its deliveries
--   msgctl:channel:NAME:probe STRING  half open: one delivery at a time may try
--   msgctl:bucket:NAME    STRING  the rates; all of them are charged for this send, or none is
--   msgctl:window:PHONE   STRING  when that number last wrote on WhatsApp
--   msgctl:callbacks:gone ZSET    URLs that are not called
--
-- ARGV: id, token of this attempt, its stream entry, channel, conversation, seq (0: it has none),
--       1 if the receiver deduplicates, TTL of the record in ms, 1 to send an UNKNOWN part once more,
--       window ('': none), URL ('': none), limits as JSON for `status_update`, ms after a customer's
--       message in which the channel may write (0: any time), then for each bucket: name, ms that a send costs, burst.
-- Safe to send twice: the second run finds its own token. (A probe or the charge of a bucket may be wasted.)
-- Returns {'permitted', part, attempts, resends, texts, done, repeats, rejection, waits, doubted}, rejection: '',
--   'window_closed' or 'callback_gone'; done: how many parts were sent in their order; repeats: how many of them are
--   sent again, this one included; doubted: 1 if this part may have arrived before; texts: false if a version that did
--   not store parts has begun the delivery,
--   {'unknown', part, attempts, resends, texts, done, repeats, ms at which it was sent, code, text, 1 if newly
--   detected}: the caller must resolve it,
--   {'not_yet', ms at which to ask again}, {'rate_limited', ms to wait}, {'channel_held'} or {'ended', state}.
local id, token, entry, channel = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local conversation, seq, idempotent, ttl = ARGV[5], tonumber(ARGV[6]), ARGV[7] == '1', ARGV[8]
local resend, window, url = ARGV[9] == '1', ARGV[10], ARGV[11]
local key = K.delivery .. id
local now = now_ms()
local window_ms = tonumber(ARGV[13])

local function ended(state)
  redis.call('XACK', K.responses, K.responses_group, entry)
  return {'ended', state}
end

-- The ms at which to ask again, if the response before this one in its conversation has not ended; else nil.
local function blocked_until()
  local before = redis.call('ZREVRANGEBYSCORE', K.replies .. conversation, '(' .. seq, '-inf', 'LIMIT', 0, 1)[1]
  if not before then return nil end
  local response = cjson.decode(before)
  local fields = redis.call('HMGET', K.delivery .. response.messageId, 'state', 'endedAt')
  local state = fields[1]
  if state == 'NEW' or state == 'UNKNOWN' and not fields[2] then
    return (tonumber(redis.call('ZSCORE', K.postponed, response.messageId)) or now + 250) + 1
  end
  if state == 'SENDING' or not state and is_undelivered(response.streamId, read_consumer_group()) then
    return now + 250
  end
end

-- The ms until every bucket permits a send.
local function rate_wait()
  local wait = 0
  for i = 14, #ARGV, 3 do
    local full_at = tonumber(redis.call('GET', K.bucket .. ARGV[i]) or 0)
    wait = math.max(wait, full_at - ARGV[i + 1] * (ARGV[i + 2] - 1) - now)
  end
  return math.ceil(wait)
end

local function charge_buckets()
  for i = 14, #ARGV, 3 do
    local name = K.bucket .. ARGV[i]
    local full_at = math.max(now, tonumber(redis.call('GET', name) or 0)) + ARGV[i + 1]
    redis.call('SET', name, string.format('%.3f', full_at), 'PX', math.ceil(full_at - now) + 1000)
  end
end

local function rejection()
  local last = window ~= '' and redis.call('GET', K.window .. window)
  if last and window_ms > 0 and now - tonumber(last) > window_ms then return 'window_closed' end
  local gone_until = url ~= '' and redis.call('ZSCORE', K.callbacks_gone, url)
  return gone_until and tonumber(gone_until) > now and 'callback_gone' or ''
end

local record, state, done, part, resends, repeats, waits, texts, doubted
local function read_record()
  record = redis.call('HMGET', key, 'state', 'token', 'part', 'attempts', 'sendingAt', 'resends', 'endedAt', 'resolver',
    'code', 'text', 'waits', 'texts', 'doubted', 'repeat')
  state, done, resends = record[1], tonumber(record[3] or 0), tonumber(record[6] or 0)
  repeats, waits, texts, doubted = split_list(record[14]), tonumber(record[11] or 0), record[12], record[13] and 1 or 0
  part = tonumber(repeats[1] or done)
end
read_record()

local function permitted(attempts)
  return {'permitted', part, attempts, resends, texts, done, #repeats, rejection(), waits, doubted}
end

local function unknown(newly_detected)
  local sent_at = tonumber(record[5] or now)
  local code, text = record[9] or '', record[10] or ''
  local attempts = tonumber(record[4] or 0)
  return {'unknown', part, attempts, resends, texts, done, #repeats, sent_at, code, text, newly_detected}
end

-- Acknowledged by another subscriber, or cut from the stream and put back as another entry.
if #redis.call('XPENDING', K.responses, K.responses_group, entry, entry, 1) == 0 then return {'ended', 'not pending'} end
if state == 'SENDING' then
  if record[2] == token then return permitted(tonumber(record[4])) end
  if not idempotent then
    record[9], record[10] = 'sender_lost', 'The subscriber died while it was sending this: it may have arrived.'
    redis.call('HSET', key, 'state', 'UNKNOWN', 'resolver', token, 'code', record[9], 'text', record[10],
      'doubted', 1)
    record_event(id, 'unknown', 'subscriber', 'code', 'sender_lost', 'again_ms', 0)
    if not resolve_by_early_status(id, key) then return unknown(1) end
    read_record()
    if state ~= 'NEW' or redis.call('ZSCORE', K.postponed, id) then return ended(state) end
  end
elseif state == 'UNKNOWN' and not record[7] then
  if not (resend and record[8] == token) then
    redis.call('HSET', key, 'resolver', token)
    return unknown(0)
  end
elseif state and state ~= 'NEW' then
  return ended(state)
end

local closed, half_open = is_channel_closed(channel, now)
if closed then return {'channel_held'} end
local due = seq > 0 and blocked_until()
if due then return {'not_yet', due} end
local wait = rate_wait()
if wait > 0 then return {'rate_limited', wait} end
if half_open and not redis.call('SET', K.channel_state .. channel .. K.channel_probe, id, 'NX', 'PX', 30000) then
  return {'channel_held'}
end
charge_buckets()

redis.call('HSETNX', key, 'createdAt', now)
redis.call('HSET', key, 'state', 'SENDING', 'token', token, 'channel', channel, 'sendingAt', now,
  'conversation', conversation, 'seq', seq, 'limits', ARGV[12])
if state == 'UNKNOWN' then resends = redis.call('HINCRBY', key, 'resends', 1) end
if done == 0 and (not state or state == 'NEW') then  -- nothing was sent: the parts are made again
  texts = ''
  redis.call('HSET', key, 'texts', texts)
end
redis.call('PEXPIRE', key, ttl)
local attempts = redis.call('HINCRBY', key, 'attempts', 1)
record_event(id, 'sending', 'subscriber', 'channel', channel, 'part', part, 'attempt', attempts,
  'repeatable', idempotent and 1 or 0)
return permitted(attempts)
