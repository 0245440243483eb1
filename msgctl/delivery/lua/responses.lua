-- LIBRARY: functions of the response stream.

-- Give a response the next number of its conversation, and put it into the stream and among the kept replies.
-- `draft` is a JSON object without its closing brace: number and stream entry are known only here.
-- `hand_over` may deliver it: it takes number and body and returns how many sockets it reached, or nil to leave the
-- delivery to a subscriber. Returns number, entry, the whole response, and the result of `hand_over`.
local function append_numbered_response(conversation, channel, draft, keep, ttl_ms, hand_over)
  local key, replies = K.conversation .. conversation, K.replies .. conversation
  local seq = redis.call('HINCRBY', key, 'seq', 1)
  local stored = draft .. ',"seq":' .. seq
  local fields = {'kind', 'response', 'channel', channel, 'body', stored .. '}'}
  local reached = hand_over and hand_over(seq, stored .. '}')
  if reached then fields[7], fields[8] = 'reached', reached end
  local entry = redis.call('XADD', K.responses, '*', unpack(fields))
  local complete = stored .. ',"streamId":"' .. entry .. '"}'
  redis.call('ZADD', replies, seq, complete)
  if seq > keep then
    redis.call('ZREMRANGEBYSCORE', replies, '-inf', seq - keep)
    redis.call('HSET', key, 'floor', seq - keep)
  end
  redis.call('PEXPIRE', replies, ttl_ms)
  redis.call('PEXPIRE', key, ttl_ms)
  return seq, entry, complete, reached
end

-- Mark an entry without a number that is for the sockets of a conversation. Replies that are committed later must not
-- overtake it: until it is routed, commit hands none of them over.
local function mark_unrouted(conversation, entry)
  local key = K.conversation .. conversation
  if redis.call('EXISTS', key) == 1 then redis.pcall('HSET', key, 'untold', entry) end
end

-- The fields of the consumer group of the responses, or nil if there is none.
local function read_consumer_group()
  if redis.call('EXISTS', K.responses) == 0 then return nil end
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', K.responses)) do
    local fields = {}
    for i = 1, #group, 2 do fields[group[i]] = group[i + 1] end
    if fields.name == K.responses_group then return fields end
  end
end

-- Whether a stream entry is still to be delivered: no consumer has read it, or one has and has not acknowledged it.
-- `group` is the result of `read_consumer_group`.
local function is_undelivered(stream_id, group)
  return not group or is_later_entry(stream_id, group['last-delivered-id'])
    or #redis.call('XPENDING', K.responses, K.responses_group, stream_id, stream_id, 1) > 0
end
