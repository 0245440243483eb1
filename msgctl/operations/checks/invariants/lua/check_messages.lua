-- EXAMINE: where is each of these messages, and is it there rightly? All of one message is seen at one instant.
--
--   rq:job:ID                              HASH    what it says of itself, against …
--   msgctl:mailbox:C                       LIST    … its conversation (bounded by history.max_mailbox)
--   rq:deferred|scheduled|finished|failed  ZSET    … RQ's registries
--   msgctl:leases                          ZSET    … who may commit it
--   msgctl:delivery:ID                     HASH    … the record of its delivery
--   msgctl:responses, msgctl:postponed             … what is still to be delivered
--
-- ARGV: attempts a message may have, crashes it may have, then ids.   Reads only.
-- Returns {id, place, invariant, what is wrong, invariant, what is wrong, …} for each.
local max_attempts, max_crashes = tonumber(ARGV[1]), tonumber(ARGV[2])
local group = read_consumer_group()

local function words(list)
  local seen, count, doubled = {}, 0, false
  for word in string.gmatch(list or '', '[^,]+') do
    doubled = doubled or seen[word]
    seen[word], count = true, count + 1
  end
  return count, doubled
end

-- Where the response of a finished message is.
local function delivery(id, committed, complain)
  local record = redis.call('HMGET', K.delivery .. id, 'state', 'channel', 'part', 'providerId')
  local state = record[1]
  if state == 'SENT' and record[2] ~= 'web' then
    local ids, doubled = words(record[4])
    if ids > tonumber(record[3] or 0) or doubled then complain('I7', 'a part of it was sent more than once') end
  end
  if state == 'SENT' or state == 'KEPT' then return 'delivered' end
  if state == 'FAILED' then return 'undeliverable' end
  if state == 'UNKNOWN' then return 'unknown' end
  if state and not redis.call('ZSCORE', K.postponed, id) and group and group.pending == 0 and group.lag == 0 then
    complain('I1', 'its delivery is ' .. state .. ', and nothing will go on with it')
  end
  local stream_id = string.match(committed, '^%d+ %d+ (%d+%-%d+)$')
  if not state and not (stream_id and is_undelivered(stream_id, group)) then
    complain('I1', 'it was answered, and the answer is neither delivered nor still to deliver')
  end
  return 'delivering'
end

local IN_PLAY = {queued = 'waiting', deferred = 'waiting', started = 'running', scheduled = 'delayed'}

-- A message that is not over: in its conversation, and in the one place where its status says.
local function in_play(id, fields, complain)
  local status, origin = fields[1], fields[2]
  if redis.call('PTTL', K.rq_job .. id) ~= -1 then complain('I1', 'it is not over, and its record expires') end
  if fields[4] then complain('I2', 'it is in play again after a committed response') end
  local head = redis.call('LINDEX', K.mailbox .. fields[3], 0)
  if head ~= id and status ~= 'deferred' then
    complain('I4', 'it is ' .. status .. ' and not the head of its conversation')
  end
  if head ~= id and not redis.call('LPOS', K.mailbox .. fields[3], id) then
    complain('I1', 'its conversation does not know it, so nothing will bring it into play')
  end
  local places = {started = redis.call('ZSCORE', K.leases, id .. ':' .. (fields[7] or 0)),
    scheduled = redis.call('ZSCORE', K.rq_scheduled .. origin, id),
    deferred = redis.call('ZSCORE', K.rq_deferred .. origin, id)}
  for place, found in pairs(places) do
    if found and place ~= status then complain('I4', 'it is ' .. status .. ', and ' .. place .. ' as well') end
  end
  if status == 'deferred' and not places.deferred then
    complain('I4', 'it is deferred, and RQ does not know of it')
  end
  return IN_PLAY[status]
end

local function over(id, fields, complain)
  local status, origin, committed = fields[1], fields[2], fields[4]
  local registries = {finished = redis.call('ZSCORE', K.rq_finished .. origin, id),
    failed = redis.call('ZSCORE', K.rq_failed .. origin, id)}
  if not registries[status] then complain('I1', 'it is ' .. status .. ', and RQ does not know of it') end
  if registries.finished and registries.failed then complain('I1', 'it is answered and a dead letter') end
  if redis.call('PTTL', K.rq_job .. id) == -1 then complain('I6', 'it is over, and its record does not expire') end
  if redis.call('LPOS', K.mailbox .. fields[3], id) then complain('I4', 'it is over, and holds its conversation up') end
  if status == 'failed' then
    if committed then complain('I1', 'it is a dead letter with a committed response') end
    return 'dead letter'
  end
  if not committed then
    complain('I1', 'it is finished without a committed response')
    return 'delivered'
  end
  if string.match(committed, '^%d+(.*)$') == K.silent_commit then return 'delivered' end
  return delivery(id, committed, complain)
end

local function examine(id)
  local fields = read_job(id, 'status', 'origin', K.field_conversation, K.field_committed, K.field_attempts,
    K.field_crashes, K.field_runs)
  local row = {id, 'foreign'}
  local function complain(invariant, text) row[#row + 1], row[#row + 2] = invariant, text end
  if redis.call('HEXISTS', K.parked, id) == 1 then
    row[2] = 'parked'
  elseif not fields[1] and not fields[2] and not fields[3] then
    row[2] = 'gone'
  elseif not fields[3] and string.sub(fields[2] or '', 1, #K.queue) ~= K.queue then
    return row
  elseif fields[2] and fields[3] and IN_PLAY[fields[1]] then
    row[2] = in_play(id, fields, complain)
  elseif fields[2] and fields[3] and (fields[1] == 'finished' or fields[1] == 'failed') then
    row[2] = over(id, fields, complain)
  else
    complain('I1', 'its record cannot be worked, and it is not parked')
  end
  if tonumber(fields[5] or 0) > max_attempts then complain('I5', 'it has ' .. fields[5] .. ' attempts') end
  if tonumber(fields[6] or 0) > max_crashes then complain('I5', 'it has ' .. fields[6] .. ' crashes') end
  return row
end

local rows = {}
for i = 3, #ARGV do rows[#rows + 1] = examine(ARGV[i]) end
return rows
