-- RECOVER: put responses back into the stream that were cut from it before they were delivered.
--
--   msgctl:replies:C          ZSET    the kept responses of a conversation, with their text
--   msgctl:conversation:C     HASH    routed: up to there web responses have been handed on
--   msgctl:delivery:ID        HASH    whether it is over, or whose turn it is; entry: the one that carries it now
--   msgctl:postponed, msgctl:held:CHANNEL  ZSET  what waits there is not lost
--   msgctl:responses          STREAM  gains what is neither over nor on its way
--
-- ARGV: ms within which a send may still be under way, TTL of a record in ms, then conversations.
-- Safe to send twice, and while all subscribers work: BEGIN lets nobody go on with an entry that is not pending.
-- Returns how many may still be under way, then the channel of each that was put back.
local under_way_for, ttl = tonumber(ARGV[1]), ARGV[2]
local now = now_ms()
local group = read_consumer_group()
local outcome = {0}

-- Whether an entry is in the stream, and still to be delivered.
local function is_in_stream(entry)
  return #redis.call('XRANGE', K.responses, entry, entry) > 0 and is_undelivered(entry, group)
end

local function put_back(event, body, entry)
  if group then redis.call('XACK', K.responses, K.responses_group, entry) end
  local new = redis.call('XADD', K.responses, '*', 'kind', 'response', 'channel', event.channel, 'body', body)
  redis.call('HSET', K.delivery .. event.messageId, 'entry', new)
  redis.call('PEXPIRE', K.delivery .. event.messageId, ttl)
  record_event(event.messageId, 'recovered', 'subscriber', 'channel', event.channel)
  outcome[#outcome + 1] = event.channel
end

local function look(conversation, event, body, routed)
  local id = event.messageId
  local record = redis.call('HMGET', K.delivery .. id, 'state', 'endedAt', 'entry', 'sendingAt')
  local entry = record[3] or event.streamId
  if record[2] or event.channel == 'web' and event.seq <= routed or is_in_stream(entry) then return end
  if redis.call('ZSCORE', K.postponed, id) or redis.call('ZSCORE', K.held .. event.channel, id) then return end
  if record[1] == 'SENDING' and now - tonumber(record[4]) < under_way_for then
    outcome[1] = outcome[1] + 1
    return
  end
  put_back(event, body, entry)
end

for i = 3, #ARGV do
  local conversation = ARGV[i]
  local routed = tonumber(redis.call('HGET', K.conversation .. conversation, 'routed') or 0)
  for _, body in ipairs(redis.call('ZRANGE', K.replies .. conversation, 0, -1)) do
    look(conversation, cjson.decode(body), body, routed)
  end
end
return outcome
