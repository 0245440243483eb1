-- SAMPLE BACKLOG: how long the newest answers took, and the undelivered responses by channel. Bounded, reads only.
--
--   msgctl:responses     STREAM  the newest answers; unread entries; entries in flight
--   msgctl:postponed     ZSET    deliveries that wait for their next attempt …
--   msgctl:delivery:ID   HASH    … and their channel
--
-- ARGV: the maximum number of entries of each kind to read.
-- Returns {{ms, …}, {channel, count, channel, …}, total of undelivered responses, 1 if some of them were not read}.
local limit = tonumber(ARGV[1])
local times, waiting, looked_at = {}, {}, 0

local function count_channel(channel)
  looked_at = looked_at + 1
  if channel then waiting[channel] = (waiting[channel] or 0) + 1 end
end

-- The fields of a stream entry, as a table.
local function fields_of(entry)
  local fields = {}
  for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
  return fields
end

if redis.call('EXISTS', K.responses) == 0 then return {times, {}, 0, 0} end

for _, entry in ipairs(redis.call('XREVRANGE', K.responses, '+', '-', 'COUNT', limit)) do
  local ok, response = pcall(cjson.decode, fields_of(entry).body or '')
  local took = ok and type(response) == 'table' and response.processingTime
  if type(took) == 'number' then times[#times + 1] = took end
end

local total = redis.call('ZCARD', K.postponed)
local group = read_consumer_group()
if group then
  total = total + group.pending + (group.lag or 0)
  for _, entry in ipairs(redis.call('XRANGE', K.responses, '(' .. group['last-delivered-id'], '+', 'COUNT', limit)) do
    count_channel(fields_of(entry).channel)
  end
  for _, pending in ipairs(redis.call('XPENDING', K.responses, K.responses_group, '-', '+', limit)) do
    local entry = redis.call('XRANGE', K.responses, pending[1], pending[1])[1]
    count_channel(entry and fields_of(entry).channel)
  end
end
for _, id in ipairs(redis.call('ZRANGE', K.postponed, 0, limit - 1)) do
  count_channel(redis.call('HGET', K.delivery .. id, 'channel'))
end

local by_channel = {}
for channel, count in pairs(waiting) do
  by_channel[#by_channel + 1], by_channel[#by_channel + 2] = channel, count
end
return {times, by_channel, total, total > looked_at and 1 or 0}
