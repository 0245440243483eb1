-- RETRY OR DROP: an operator sends a delivery again that failed or may have arrived, or drops one that has not ended.
--
--   msgctl:delivery:ID   HASH    → NEW, with all its attempts, for the parts that did not arrive; or FAILED
--   msgctl:replies:C     ZSET    the response, if the record does not hold it
--   msgctl:postponed     ZSET    gains the delivery, due now; or loses it
--   msgctl:held:CHANNEL  ZSET    loses it
--
-- ARGV: the action (retry, drop), 1 for a dry run, ids.
-- It is safe to send twice, but the second run of a retry returns other outcomes. Returns the outcome of each id.
local action, dry = ARGV[1], ARGV[2] == '1'
local now = now_ms()
local outcomes = {}

local function retry(id, key, record)
  if record[1] ~= 'FAILED' and record[1] ~= 'UNKNOWN' then return string.lower(record[1]) end
  local body = find_response_body(id, key)
  if not body then return 'body_gone' end
  if dry then return 'would_retry' end
  redis.call('HDEL', key, 'lateRetries')
  local indexes = find_failed_parts(key)
  repeat_parts(id, key, indexes, body, 0)
  record_event(id, 'postponed', 'operator', 'again_ms', 0)
  return 'retried'
end

local function drop(id, key, record)
  if record[1] ~= 'NEW' and (record[1] ~= 'UNKNOWN' or record[4]) then return string.lower(record[1]) end
  if dry then return 'would_drop' end
  redis.call('HSET', key, 'state', record[1] == 'NEW' and 'FAILED' or 'UNKNOWN', 'endedAt', now,
    'code', 'dropped', 'text', 'An operator dropped it.')
  redis.call('ZREM', K.postponed, id)
  redis.call('ZREM', K.held .. (record[3] or ''), id)
  record_event(id, record[1] == 'NEW' and 'delivery_failed' or 'unknown', 'operator', 'code', 'dropped')
  return 'dropped'
end

for i = 3, #ARGV do
  local key = K.delivery .. ARGV[i]
  local record = redis.call('HMGET', key, 'state', 'body', 'channel', 'endedAt')
  if not record[1] then
    outcomes[#outcomes + 1] = 'missing'
  elseif record[3] == 'web' then
    outcomes[#outcomes + 1] = 'web'
  else
    outcomes[#outcomes + 1] = (action == 'retry' and retry or drop)(ARGV[i], key, record)
  end
end
return outcomes
