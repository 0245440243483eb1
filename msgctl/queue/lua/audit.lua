-- AUDIT: check that the head of each of these conversations is queued, running, or scheduled. With `repair`, a head
-- that is stuck is requeued or removed from its mailbox.
--
--   msgctl:mailbox:C           LIST  its head must be in exactly one of …
--   rq:queue:messages:P        LIST  … waiting for a worker
--   msgctl:leases              ZSET  … running; an expired lease is left to the reaper
--   rq:scheduled:messages:P    ZSET  … waiting for its next attempt
--   msgctl:parked              HASH  a head whose hash cannot be processed is set aside here
--
-- The script does not check whether a list holds an id, because that would scan the list. A head whose status is
-- queued is `overtaken` if its queue is empty or begins with a message that became ready later. The caller then reads
-- that queue in slices. If the head is not there, it calls again with the head's stamp as proof that the head has not
-- moved in between.
--
-- ARGV: repair 1|0, then for each conversation its id and a proof `ID RUNS READY` of absence, or ''.
-- Returns {conversation, id, fault, queue, proof} for each head that is stuck or overtaken.
-- Safe to send twice: a head that was repaired is no longer stuck.
local repair = ARGV[1] == '1'
local now = now_ms()
local OUR_QUEUES = {}
for priority = 1, 10 do OUR_QUEUES[K.queue .. priority] = true end
local ENDED = {finished = true, failed = true, canceled = true, stopped = true}

-- Whether the first message of a list became ready more than 1 s later than this one, or the list is empty.
local function is_overtaken(list, id, ready)
  local first = redis.call('LINDEX', list, 0)
  if first == id then return false end
  if not first then return true end
  return (tonumber(read_job(first, K.field_ready)[1]) or 0) > (tonumber(ready) or 0) + 1000
end

-- Return the fault of a head, or nil. For `overtaken`, also return the queue it belongs to and its stamp.
local function find_fault(id, fields, proof)
  local status, origin, runs, ready = fields[1], fields[2], fields[3] or '0', fields[4] or '0'
  if not status and not origin and not fields[5] then return 'gone' end
  if not OUR_QUEUES[origin] or not fields[5] or not fields[6] then return 'unworkable' end
  if ENDED[status] then return 'over' end
  if status == 'deferred' then return 'held_back' end
  if status == 'started' then
    return not redis.call('ZSCORE', K.leases, id .. ':' .. runs) and 'no_lease' or nil
  end
  if status == 'scheduled' then
    return not redis.call('ZSCORE', K.rq_scheduled .. origin, id) and 'not_scheduled' or nil
  end
  if status ~= 'queued' then return 'unworkable' end
  local stamp = id .. ' ' .. runs .. ' ' .. ready
  if proof == stamp then return 'not_queued' end
  local queue = fields[7] and K.quarantine or origin
  if is_overtaken(K.rq_queue .. queue, id, ready) then return 'overtaken', queue, stamp end
end

local function repair_head(conversation, id, fault, fields)
  if fault == 'gone' or fault == 'over' then
    advance_conversation(conversation, id, now)
  elseif fault == 'unworkable' then
    redis.call('HSET', K.parked, id, fields[1] or 'no status')
    record_event(id, 'parked', 'auditor', 'code', 'unworkable')
    advance_conversation(conversation, id, now)
  elseif fault ~= 'overtaken' then
    if fault == 'held_back' then redis.call('ZREM', K.rq_deferred .. fields[2], id) end
    if fault == 'no_lease' then release_lease(id, fields[3] or '0', fields[2], fields[8] or '') end
    make_ready(id, now, true)
    record_event(id, 'queued', 'auditor', 'code', fault)
  end
end

local rows = {}
for i = 2, #ARGV, 2 do
  local conversation, proof = ARGV[i], ARGV[i + 1]
  local id = redis.call('LINDEX', K.mailbox .. conversation, 0)
  if id then
    local fields = read_job(id, 'status', 'origin', K.field_runs, K.field_ready, K.field_message,
      K.field_conversation, K.field_quarantined, 'worker_name')
    local fault, queue, stamp = find_fault(id, fields, proof)
    if fault then
      if repair then repair_head(conversation, id, fault, fields) end
      rows[#rows + 1] = {conversation, id, fault, queue or '', stamp or ''}
    end
  end
end
return rows
