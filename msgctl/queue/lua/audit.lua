-- AUDIT: is the head of each of these conversations in play? With `mend`, one that is stuck comes back into play.
--
--   msgctl:mailbox:C           LIST  its head must be in exactly one of …
--   rq:queue:messages:P        LIST  … waiting for a worker
--   msgctl:leases              ZSET  … running; what ran past its lease is the reaper's to find
--   rq:scheduled:messages:P    ZSET  … waiting for its next attempt
--   msgctl:parked              HASH  a head whose hash cannot be worked is set aside here
--
-- Whether a list holds an id is not asked here, for that would walk the list. A head that says it is queued is
-- `overtaken` when its queue is empty or begins with one that became ready later; the caller then reads that queue
-- in slices, and if the head is not there, comes back with its stamp as proof that it has not moved since.
--
-- ARGV: mend 1|0, then for each conversation its id and a proof `ID RUNS READY` of absence, or ''.
-- Returns {conversation, id, fault, queue, proof} for each head that is not, or perhaps not, in play.
-- Safe to send twice: a head that was mended is in play.
local mend = ARGV[1] == '1'
local now = now_ms()
local OURS = {}
for priority = 1, 10 do OURS[K.queue .. priority] = true end
local OVER = {finished = true, failed = true, canceled = true, stopped = true}

-- Whether something that became ready later stands before it.
local function is_overtaken(list, id, ready)
  local first = redis.call('LINDEX', list, 0)
  if first == id then return false end
  if not first then return true end
  return (tonumber(read_job(first, K.field_ready)[1]) or 0) > (tonumber(ready) or 0) + 1000
end

-- The fault of a head, and the queue in which it should be.
local function look(id, fields, proof)
  local status, origin, runs, ready = fields[1], fields[2], fields[3] or '0', fields[4] or '0'
  if not status and not origin and not fields[5] then return 'gone' end
  if not OURS[origin] or not fields[5] or not fields[6] then return 'unworkable' end
  if OVER[status] then return 'over' end
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

local function bring_back(conversation, id, fault, fields)
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

local found = {}
for i = 2, #ARGV, 2 do
  local conversation, proof = ARGV[i], ARGV[i + 1]
  local id = redis.call('LINDEX', K.mailbox .. conversation, 0)
  if id then
    local fields = read_job(id, 'status', 'origin', K.field_runs, K.field_ready, K.field_message,
      K.field_conversation, K.field_quarantined, 'worker_name')
    local fault, queue, stamp = look(id, fields, proof)
    if fault then
      if mend then bring_back(conversation, id, fault, fields) end
      found[#found + 1] = {conversation, id, fault, queue or '', stamp or ''}
    end
  end
end
return found
