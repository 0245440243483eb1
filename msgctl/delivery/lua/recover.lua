-- Recover: put responses back into the stream that were cut from it before they were delivered.
--
--   msgctl:replies:C          ZSET    the kept responses of a conversation, with their text
--   msgctl:conversation:C     HASH    routed: the last number up to which web responses were routed
--   msgctl:delivery:ID        HASH    whether the delivery has ended or runs; entry: the stream entry that carries it now
--   msgctl:postponed, msgctl:held:CHANNEL  ZSET  a response that waits there is not lost
--   msgctl:responses          STREAM  gains the responses that have neither ended nor wait anywhere
--
-- ARGV: ms for which a send may still be in flight, TTL of a record in ms, then conversations.
-- Safe to send twice, and while all subscribers work: begin_attempt permits no send for an entry that is not pending.
-- Returns how many responses may still be in flight, then the channel of each that was put back.
local in_flight_ms, ttl = tonumber(ARGV[1]), ARGV[2]
local now = now_ms()
local group = read_consumer_group()
local result = {0}

-- Whether an entry is in the stream, and still to be delivered.
local function is_in_stream(entry)
  return #redis.call('XRANGE', K.responses, entry, entry) > 0 and is_undelivered(entry, group)
end

local function put_back(event, body, entry)
  if group then redis.call('XACK', K.responses, K.responses_group, entry) end
  local new_entry = redis.call('XADD', K.responses, '*', 'kind', 'response', 'channel', event.channel, 'body', body)
  redis.call('HSET', K.delivery .. event.messageId, 'entry', new_entry)
  redis.call('PEXPIRE', K.delivery .. event.messageId, ttl)
  record_event(event.messageId, 'recovered', 'subscriber', 'channel', event.channel)
  result[#result + 1] = event.channel
end

local function recover_if_lost(event, body, routed)
  local id = event.messageId
  local record = redis.call('HMGET', K.delivery .. id, 'state', 'endedAt', 'entry', 'sendingAt')
  local entry = record[3] or event.streamId
  if record[2] or event.channel == 'web' and event.seq <= routed or is_in_stream(entry) then return end
  if redis.call('ZSCORE', K.postponed, id) or redis.call('ZSCORE', K.held .. event.channel, id) then return end
  if record[1] == 'SENDING' and now - tonumber(record[4]) < in_flight_ms then
    result[1] = result[1] + 1
    return
  end
  put_back(event, body, entry)
end

for i = 3, #ARGV do
  local conversation = ARGV[i]
  local routed = tonumber(redis.call('HGET', K.conversation .. conversation, 'routed') or 0)
  for _, body in ipairs(redis.call('ZRANGE', K.replies .. conversation, 0, -1)) do
    recover_if_lost(cjson.decode(body), body, routed)
  end
end
return result
