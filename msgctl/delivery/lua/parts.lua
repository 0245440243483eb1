-- LIBRARY: functions of the parts of a delivery, and of what the provider reports about each of them.
--
-- The record of a delivery holds, beside the state of the whole:
--   providerId    the provider's ids of its parts in their order, separated by commas
--   status:PID    a JSON array {status, code, text, ms after which it may be sent again or -1, how often} that the
--                 provider reported for the part with that id, even if its id is not known yet
--   repeat        the indexes of parts that are sent again because they did not arrive, separated by commas
--   reported      1 if it is FAILED because of such a status: a later status may correct that
--   open          1 if it is FAILED before its last part was sent: after a correction it continues
--   lateRetries   how often parts were sent again because of a status
--   strays        sends of earlier parts that may have arrived and whose ids nobody knows: a status with an unknown
--                 id may be theirs

-- The elements of a list that is separated by commas; an element may be empty.
local function split_list(list)
  local elements = {}
  if not list or list == '' then return elements end
  for element in string.gmatch(list .. ',', '([^,]*),') do elements[#elements + 1] = element end
  return elements
end

-- Store the id of the part with an index (from 0). Parts without an id leave an empty element.
local function store_part_id(key, index, part_id)
  if part_id == '' then return end
  local ids = split_list(redis.call('HGET', key, 'providerId'))
  while #ids < index do ids[#ids + 1] = '' end
  local old = ids[index + 1]
  if old and old ~= '' and old ~= part_id then  -- its provider may still report the old one
    redis.call('HINCRBY', key, 'strays', 1)
    redis.call('HDEL', key, 'status:' .. old)
  end
  ids[index + 1] = part_id
  redis.call('HSET', key, 'providerId', table.concat(ids, ','))
end

-- The status of a part by its id, or nil.
local function read_part_status(key, part_id)
  local stored = part_id ~= '' and redis.call('HGET', key, 'status:' .. part_id)
  return stored and cjson.decode(stored) or nil
end

-- The parts that the provider reports as failed: their indexes and their statuses.
local function find_failed_parts(key)
  local indexes, statuses = {}, {}
  for i, part_id in ipairs(split_list(redis.call('HGET', key, 'providerId'))) do
    local status = read_part_status(key, part_id)
    if status and status[1] == 'failed' then indexes[#indexes + 1], statuses[#statuses + 1] = i - 1, status end
  end
  return indexes, statuses
end

-- The body of a response: that of its record, or that of the kept reply; nil if neither is kept any more.
local function find_response_body(id, key)
  local record = redis.call('HMGET', key, 'body', 'conversation', 'seq')
  if record[1] then return record[1] end
  if not record[2] then return nil end
  for _, body in ipairs(redis.call('ZRANGEBYSCORE', K.replies .. record[2], record[3], record[3])) do
    if cjson.decode(body).messageId == id then return body end
  end
end

-- Put an ended delivery back to work after `delay` ms: the parts with these indexes, and those that were never sent.
local function repeat_parts(id, key, indexes, body, delay)
  local now = now_ms()
  redis.call('HSET', key, 'state', 'NEW', 'attempts', 0, 'resends', 0, 'waits', 0, 'retriedAt', now, 'body', body,
    'repeat', table.concat(indexes, ','))
  redis.call('HDEL', key, 'endedAt', 'code', 'text', 'receipt', 'receiptAt', 'doubted', 'reported')
  redis.call('ZADD', K.postponed, now + delay, id)
end

-- Set the state of a delivery after all its parts were handed over, or after a status: SENT; FAILED if a part did not
-- arrive; NEW if the parts that did not arrive may be sent again by themselves. Returns the state.
local function settle_parts(id, key, by)
  local indexes, statuses = find_failed_parts(key)
  local now = now_ms()
  if #indexes == 0 then
    local rest = redis.call('HEXISTS', key, 'open') == 1 and find_response_body(id, key)
    if rest then
      repeat_parts(id, key, {}, rest, 0)
      return 'NEW'
    end
    redis.call('HSET', key, 'state', 'SENT', 'endedAt', now)
    redis.call('HDEL', key, 'code', 'text', 'reported')
    return 'SENT'
  end
  local first, delay = statuses[1], 0
  local count = tonumber(redis.call('HGET', key, 'lateRetries') or 0)
  local may_repeat = true
  for _, status in ipairs(statuses) do
    may_repeat = may_repeat and status[4] >= 0 and count < status[5]
    delay = math.max(delay, math.min(3600000, status[4] * 4 ^ count))
  end
  local body = may_repeat and find_response_body(id, key)
  if body then
    repeat_parts(id, key, indexes, body, delay)
    redis.call('HSET', key, 'lateRetries', count + 1)
    record_event(id, 'postponed', by, 'code', first[2], 'again_ms', delay)
    return 'NEW'
  end
  redis.call('HSET', key, 'state', 'FAILED', 'code', first[2], 'text', first[3], 'endedAt', now, 'reported', 1)
  redis.call('ZREM', K.postponed, id)
  record_event(id, 'delivery_failed', by, 'code', first[2])
  return 'FAILED'
end

-- Attribute an id to the part of which nobody knew whether it was sent; returns the state that follows.
local function attribute_part(id, key, part_id)
  local record = redis.call('HMGET', key, 'part', 'repeat', 'body', 'endedAt')
  local part, repeats = tonumber(record[1] or 0), split_list(record[2])
  local index = tonumber(repeats[1] or part)
  store_part_id(key, index, part_id)
  if #repeats > 0 then
    table.remove(repeats, 1)
    redis.call('HSET', key, 'repeat', table.concat(repeats, ','))
  else
    redis.call('HSET', key, 'part', part + 1)
  end
  redis.call('HSET', key, 'state', 'NEW', 'attempts', 0, 'resends', 0, 'waits', 0)
  redis.call('HDEL', key, 'doubted')
  if read_part_status(key, part_id)[1] == 'failed' then
    redis.call('HSET', key, 'open', 1)
    return settle_parts(id, key, 'provider')
  end
  if record[4] then redis.call('HSET', key, 'retriedAt', now_ms()) end
  redis.call('HDEL', key, 'code', 'text', 'endedAt')
  record_event(id, 'part_sent', 'provider', 'provider', part_id)
  if record[3] then redis.call('ZADD', K.postponed, now_ms(), id) end
  return 'NEW'
end

-- Resolve an unknown outcome by a status that came before it was known to be unknown; returns the new state or nil.
local function resolve_by_early_status(id, key)
  if tonumber(redis.call('HGET', key, 'strays') or 0) > 0 then return nil end
  local known = {}
  for _, part_id in ipairs(split_list(redis.call('HGET', key, 'providerId'))) do known[part_id] = true end
  for _, field in ipairs(redis.call('HKEYS', key)) do
    local part_id = string.match(field, '^status:(.+)$')
    if part_id and not known[part_id] then
      return attribute_part(id, key, part_id)
    end
  end
end
