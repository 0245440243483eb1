-- Maintain stream: the work of each subscriber every second.
--   send its heartbeat · put due deliveries back into the stream · prune dead subscribers and gateways ·
--   trim the stream, never above an entry that is still to be delivered
--
--   msgctl:subscribers, msgctl:gateways   HASH   name to the ms of its last heartbeat
--   msgctl:postponed           ZSET    due by ms; the body is in msgctl:delivery:ID
--   msgctl:held:CHANNEL        ZSET    deliveries that wait for a channel; released when it works, first one by one
--   msgctl:responses           STREAM  gains due deliveries, loses old delivered ones
--   msgctl:responses:lost      STRING  entries were cut before they were delivered
--   msgctl:responses:settled   STRING  no entry before this id is undelivered: a lost group starts again here
--
-- ARGV: subscriber, most to put back, entries the stream may keep, ms without heartbeat after which one is pruned,
--       then the channels.
-- Safe to send twice.
-- Returns 1 if entries are missing that were still to be delivered (recover puts them back), -1 if the consumer group
-- does not exist, else 0.
local name, limit, max_length, prune_after = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local now = now_ms()
redis.call('HSET', K.subscribers, name, now)

local function put_back(register, ids)
  for _, id in ipairs(ids) do
    redis.call('ZREM', register, id)
    local record = redis.call('HMGET', K.delivery .. id, 'channel', 'body', 'code')
    if record[2] then
      local entry = redis.call('XADD', K.responses, '*', 'kind', 'response', 'channel', record[1], 'body', record[2])
      redis.call('HSET', K.delivery .. id, 'entry', entry)
      redis.call('HDEL', K.delivery .. id, 'body')
      if record[3] or register ~= K.postponed then record_event(id, 'due', 'subscriber', 'channel', record[1]) end
    end
  end
end

put_back(K.postponed, redis.call('ZRANGEBYSCORE', K.postponed, '-inf', now, 'LIMIT', 0, limit))
for i = 5, #ARGV do
  local held = K.held .. ARGV[i]
  if redis.call('EXISTS', held) == 1 then
    local closed, half_open = is_channel_closed(ARGV[i], now)
    if not closed then put_back(held, redis.call('ZRANGE', held, 0, half_open and 0 or limit - 1)) end
  end
end

local group = read_consumer_group()
if not group then return -1 end

for _, register in ipairs({K.subscribers, K.gateways}) do
  local heartbeats = redis.call('HGETALL', register)
  for i = 1, #heartbeats, 2 do
    if now - tonumber(heartbeats[i + 1]) > prune_after then redis.call('HDEL', register, heartbeats[i]) end
  end
end
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', K.responses, K.responses_group)) do
  local fields = {}
  for i = 1, #consumer, 2 do fields[consumer[i]] = consumer[i + 1] end
  if fields.pending == 0 and redis.call('HEXISTS', K.subscribers, fields.name) == 0 then
    redis.call('XGROUP', 'DELCONSUMER', K.responses, K.responses_group, fields.name)
  end
end

local last_read = group['last-delivered-id']
local settled = last_read
if group.pending > 0 then settled = redis.call('XPENDING', K.responses, K.responses_group)[2] end
redis.call('SET', K.responses_settled, settled)

-- Another program has cut undelivered entries from the stream: entries that were read and are pending, or unread ones.
local first = redis.call('XRANGE', K.responses, '-', '+', 'COUNT', 1)[1]
local function is_cut(id)
  return not first or is_later_entry(first[1], id)
end
local cut_unread = type(group.lag) == 'number' and is_cut(last_read) and group.lag > redis.call('XLEN', K.responses)
if cut_unread or group.pending > 0 and is_cut(settled) then redis.call('SET', K.responses_lost, now, 'NX') end
local excess = redis.call('XLEN', K.responses) - max_length
if excess > 0 then redis.call('XTRIM', K.responses, 'MINID', '~', settled, 'LIMIT', excess) end
return redis.call('EXISTS', K.responses_lost)
