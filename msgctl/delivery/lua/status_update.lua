-- Status update: record what the provider reports about a part that it was sent.
--
--   msgctl:delivery:ID   HASH    status:PID, receipt, receiptAt; see the library `parts`. An UNKNOWN part is known to
--                                have arrived; a SENT delivery is FAILED if a part did not arrive, and SENT again if a
--                                later status says that it did
--   msgctl:postponed     ZSET    an UNKNOWN delivery continues with its next part; parts that may be sent again wait
--
-- ARGV: id, provider's id, status, code, text, ms after which a failed part may be sent again by itself (-1: never),
--       how often.
-- Safe to send twice and in any order: of one part, a status never goes back from read to delivered to failed to sent.
-- A status with an id that nobody knows yet is kept until our own answer names it.
-- Returns {} if there is no such delivery, {0} if the status is not news, and else {1, state, channel, ms of the last
-- send, limits as JSON}.
local id, provider_id, status, code, text = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local RANK = {sent = 1, failed = 2, delivered = 3, read = 4}
local key = K.delivery .. id
local record = redis.call('HMGET', key, 'state', 'providerId', 'receipt', 'resends', 'strays', 'doubted', 'reported',
  'channel', 'sendingAt', 'limits')
local state = record[1]
if not state then return {} end
local is_known = false
for _, part_id in ipairs(split_list(record[2])) do is_known = is_known or part_id == provider_id end

local before = read_part_status(key, provider_id)
if before and RANK[before[1]] >= RANK[status] then return {0} end
redis.call('HSET', key, 'status:' .. provider_id, cjson.encode({status, code, text, tonumber(ARGV[6]), tonumber(ARGV[7])}))
record_event(id, 'receipt', 'provider', 'provider', provider_id, 'status', status, 'code', code)

local is_doubtful = state == 'UNKNOWN' or state == 'NEW' and (record[6] or tonumber(record[4] or 0) > 0)
if not is_known and is_doubtful and tonumber(record[5] or 0) == 0 then
  is_known = true
  state = attribute_part(id, key, provider_id)
elseif is_known and (state == 'SENT' or state == 'FAILED' and record[7]) then
  local was = state
  if status == 'failed' or was == 'FAILED' then state = settle_parts(id, key, 'provider') end
  if was == 'FAILED' and state == 'SENT' then record_event(id, 'sent', 'provider', 'provider', provider_id) end
end
local shown = record[3]
local indexes = find_failed_parts(key)
if is_known then
  if #indexes > 0 then
    shown = 'failed'
  elseif not shown or shown == 'failed' or RANK[status] > RANK[shown] then
    shown = status
  end
  redis.call('HSET', key, 'receipt', shown, 'receiptAt', now_ms())
end
return {1, state, record[8] or '', tonumber(record[9] or 0), record[10] or '[]'}
