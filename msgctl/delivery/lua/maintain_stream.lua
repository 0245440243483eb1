-- TEND: what each subscriber does every second.
--   it says that it lives · what is due again goes back into the stream · who fell silent is forgotten ·
--   the stream is trimmed, never above what is still to deliver
--
--   msgctl:subscribers, msgctl:gateways   HASH   name to the ms of its last sign of life
--   msgctl:postponed           ZSET    due by ms; the body is in msgctl:delivery:ID
--   msgctl:held:CHANNEL        ZSET    what waits for a channel; let go when that works again, one by one at first
--   msgctl:responses           STREAM  gains what is due, loses what is long delivered
--   msgctl:responses:lost      STRING  entries were cut before they were delivered
--   msgctl:responses:settled   STRING  nothing before this id is left to deliver: where a lost group starts anew
--
-- ARGV: subscriber, most to put back, entries the stream may keep, ms after which who is silent is forgotten,
--       then the channels.
-- Returns 1 if entries are missing that were still to be delivered (RECOVER puts them back), -1 if the consumer group
-- is gone, else 0.
local name, most, keep, silence = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local now = now_ms()
redis.call('HSET', K.subscribers, name, now)

local function put_back(register, ids)
  for _, id in ipairs(ids) do
    redis.call('ZREM', register, id)
    local kept = redis.call('HMGET', K.delivery .. id, 'channel', 'body', 'code')
    if kept[2] then
      local entry = redis.call('XADD', K.responses, '*', 'kind', 'response', 'channel', kept[1], 'body', kept[2])
      redis.call('HSET', K.delivery .. id, 'entry', entry)
      redis.call('HDEL', K.delivery .. id, 'body')
      if kept[3] or register ~= K.postponed then record_event(id, 'due', 'subscriber', 'channel', kept[1]) end
    end
  end
end

put_back(K.postponed, redis.call('ZRANGEBYSCORE', K.postponed, '-inf', now, 'LIMIT', 0, most))
for i = 5, #ARGV do
  local held = K.held .. ARGV[i]
  if redis.call('EXISTS', held) == 1 then
    local closed, half_open = is_channel_closed(ARGV[i], now)
    if not closed then put_back(held, redis.call('ZRANGE', held, 0, half_open and 0 or most - 1)) end
  end
end

local group = read_consumer_group()
if not group then return -1 end

for _, register in ipairs({K.subscribers, K.gateways}) do
  local names = redis.call('HGETALL', register)
  for i = 1, #names, 2 do
    if now - tonumber(names[i + 1]) > silence then redis.call('HDEL', register, names[i]) end
  end
end
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', K.responses, K.responses_group)) do
  local facts = {}
  for i = 1, #consumer, 2 do facts[consumer[i]] = consumer[i + 1] end
  if facts.pending == 0 and redis.call('HEXISTS', K.subscribers, facts.name) == 0 then
    redis.call('XGROUP', 'DELCONSUMER', K.responses, K.responses_group, facts.name)
  end
end

local last = group['last-delivered-id']
local settled = last
if group.pending > 0 then settled = redis.call('XPENDING', K.responses, K.responses_group)[2] end
redis.call('SET', K.responses_settled, settled)

-- Somebody has cut the stream above what is delivered: what was read and is pending, or what nobody has read yet.
local first = redis.call('XRANGE', K.responses, '-', '+', 'COUNT', 1)[1]
local function is_cut(id)
  return not first or is_later_entry(first[1], id)
end
local cut_unread = type(group.lag) == 'number' and is_cut(last) and group.lag > redis.call('XLEN', K.responses)
if cut_unread or group.pending > 0 and is_cut(settled) then redis.call('SET', K.responses_lost, now, 'NX') end
local excess = redis.call('XLEN', K.responses) - keep
if excess > 0 then redis.call('XTRIM', K.responses, 'MINID', '~', settled, 'LIMIT', excess) end
return redis.call('EXISTS', K.responses_lost)
