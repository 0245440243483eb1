-- CHECK MESSAGES: where is each message, and does that agree with its record? One message is read at one instant.
--
--   rq:job:ID                              HASH    the record, compared with …
--   msgctl:mailbox:C                       LIST    … its conversation (limited by history.max_mailbox)
--   rq:deferred|scheduled|finished|failed  ZSET    … RQ's registries
--   msgctl:leases                          ZSET    … its lease
--   msgctl:delivery:ID                     HASH    … the record of its delivery
--   msgctl:responses, msgctl:postponed             … undelivered responses
--
-- ARGV: the maximum of attempts, the maximum of crashes, then ids.   Reads only.
-- Returns {id, place, invariant, problem, invariant, problem, …} for each.
local max_attempts, max_crashes = tonumber(ARGV[1]), tonumber(ARGV[2])
local group = read_consumer_group()

local function count_ids(list)
  local seen, count, doubled = {}, 0, false
  for word in string.gmatch(list or '', '[^,]+') do
    doubled = doubled or seen[word]
    seen[word], count = true, count + 1
  end
  return count, doubled
end

-- Where the response of a finished message is.
local function delivery(id, committed, report)
  local record = redis.call('HMGET', K.delivery .. id, 'state', 'channel', 'part', 'providerId')
  local state = record[1]
  if state == 'SENT' and record[2] ~= 'web' then
    local ids, doubled = count_ids(record[4])
    if ids > tonumber(record[3] or 0) or doubled then report('I7', 'a part of it was sent more than once') end
  end
  if state == 'SENT' or state == 'KEPT' then return 'delivered' end
  if state == 'FAILED' then return 'undeliverable' end
  if state == 'UNKNOWN' then return 'unknown' end
  if state and not redis.call('ZSCORE', K.postponed, id) and group and group.pending == 0 and group.lag == 0 then
    report('I1', 'its delivery is ' .. state .. ', and nothing will continue it')
  end
  local stream_id = string.match(committed, '^%d+ %d+ (%d+%-%d+)$')
  if not state and not (stream_id and is_undelivered(stream_id, group)) then
    report('I1', 'it was answered, and the answer is neither delivered nor on its way')
  end
  return 'delivering'
end

local PLACE_BY_STATUS = {queued = 'waiting', deferred = 'waiting', started = 'running', scheduled = 'delayed'}

-- A message that has not ended is in its conversation, and in the one place that its status names.
local function check_unended(id, fields, report)
  local status, origin = fields[1], fields[2]
  if redis.call('PTTL', K.rq_job .. id) ~= -1 then report('I1', 'it has not ended, and its record expires') end
  if fields[4] then report('I2', 'it is processed again after a committed response') end
  local head = redis.call('LINDEX', K.mailbox .. fields[3], 0)
  if head ~= id and status ~= 'deferred' then
    report('I4', 'it is ' .. status .. ' and not the head of its conversation')
  end
  if head ~= id and not redis.call('LPOS', K.mailbox .. fields[3], id) then
    report('I1', 'its conversation does not know it, so nothing will queue it')
  end
  local places = {started = redis.call('ZSCORE', K.leases, id .. ':' .. (fields[7] or 0)),
    scheduled = redis.call('ZSCORE', K.rq_scheduled .. origin, id),
    deferred = redis.call('ZSCORE', K.rq_deferred .. origin, id)}
  for place, found in pairs(places) do
    if found and place ~= status then report('I4', 'it is ' .. status .. ', and ' .. place .. ' as well') end
  end
  if status == 'deferred' and not places.deferred then
    report('I4', 'it is deferred, and RQ does not know of it')
  end
  return PLACE_BY_STATUS[status]
end

local function check_ended(id, fields, report)
  local status, origin, committed = fields[1], fields[2], fields[4]
  local registries = {finished = redis.call('ZSCORE', K.rq_finished .. origin, id),
    failed = redis.call('ZSCORE', K.rq_failed .. origin, id)}
  if not registries[status] then report('I1', 'it is ' .. status .. ', and RQ does not know of it') end
  if registries.finished and registries.failed then report('I1', 'it is both answered and a dead letter') end
  if redis.call('PTTL', K.rq_job .. id) == -1 then report('I6', 'it has ended, and its record does not expire') end
  if redis.call('LPOS', K.mailbox .. fields[3], id) then report('I4', 'it has ended, and it blocks its conversation') end
  if status == 'failed' then
    if committed then report('I1', 'it is a dead letter with a committed response') end
    return 'dead letter'
  end
  if not committed then
    report('I1', 'it is finished without a committed response')
    return 'delivered'
  end
  if string.match(committed, '^%d+(.*)$') == K.silent_commit then return 'delivered' end
  return delivery(id, committed, report)
end

local function check(id)
  local fields = read_job(id, 'status', 'origin', K.field_conversation, K.field_committed, K.field_attempts,
    K.field_crashes, K.field_runs)
  local row = {id, 'foreign'}
  local function report(invariant, text) row[#row + 1], row[#row + 2] = invariant, text end
  if redis.call('HEXISTS', K.parked, id) == 1 then
    row[2] = 'parked'
  elseif not fields[1] and not fields[2] and not fields[3] then
    row[2] = 'gone'
  elseif not fields[3] and string.sub(fields[2] or '', 1, #K.queue) ~= K.queue then
    return row
  elseif fields[2] and fields[3] and PLACE_BY_STATUS[fields[1]] then
    row[2] = check_unended(id, fields, report)
  elseif fields[2] and fields[3] and (fields[1] == 'finished' or fields[1] == 'failed') then
    row[2] = check_ended(id, fields, report)
  else
    report('I1', 'its record cannot be read, and it is not parked')
  end
  if tonumber(fields[5] or 0) > max_attempts then report('I5', 'it has ' .. fields[5] .. ' attempts') end
  if tonumber(fields[6] or 0) > max_crashes then report('I5', 'it has ' .. fields[6] .. ' crashes') end
  return row
end

local rows = {}
for i = 3, #ARGV do rows[#rows + 1] = check(ARGV[i]) end
return rows
