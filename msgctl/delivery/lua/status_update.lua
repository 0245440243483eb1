-- Status update: record what the provider reports about a part that it was sent.
--
--   msgctl:delivery:ID   HASH    receipt, receiptAt; an UNKNOWN part is known to have arrived; FAILED if the provider
--                                reports that afterwards
--   msgctl:postponed     ZSET    an UNKNOWN delivery continues with its next part, or ends as SENT
--
-- ARGV: id, provider's id, status, code, text.
-- Safe to send twice and in any order: a status never goes back from read to delivered to sent.
-- Returns 1 if there is such a delivery.
local id, provider_id, status, code, text = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local RANK = {sent = 1, delivered = 2, read = 3, failed = 4}
local key = K.delivery .. id
local record = redis.call('HMGET', key, 'state', 'providerId', 'receipt', 'part', 'body', 'endedAt')
local state = record[1]
if not state then return 0 end
local now = now_ms()
local is_known = false
for part_id in string.gmatch(record[2] or '', '[^,]+') do is_known = is_known or part_id == provider_id end

if not is_known and state == 'UNKNOWN' and status ~= 'failed' then
  redis.call('HSET', key, 'providerId', record[2] and record[2] .. ',' .. provider_id or provider_id,
    'part', tonumber(record[4] or 0) + 1, 'state', 'NEW', 'attempts', 0, 'resends', 0, 'waits', 0)
  if record[6] then redis.call('HSET', key, 'retriedAt', now) end
  redis.call('HDEL', key, 'code', 'text', 'endedAt')
  record_event(id, 'part_sent', 'provider', 'provider', provider_id)
  if record[5] then redis.call('ZADD', K.postponed, now, id) end
end
if not is_known and state == 'NEW' then return 1 end
if record[3] and RANK[record[3]] >= RANK[status] then return 1 end
redis.call('HSET', key, 'receipt', status, 'receiptAt', now)
record_event(id, 'receipt', 'provider', 'provider', provider_id, 'status', status, 'code', code)
if status == 'failed' and (state == 'SENT' or state == 'UNKNOWN') then
  record_event(id, 'delivery_failed', 'provider', 'provider', provider_id, 'code', code)
  redis.call('HSET', key, 'state', 'FAILED', 'code', code, 'text', text, 'endedAt', now)
  redis.call('ZREM', K.postponed, id)
end
return 1
