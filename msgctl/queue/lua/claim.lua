-- CLAIM: take as many messages as there are free slots, each under a lease.
--
--   rq:queue:messages:P      LIST  soonest priority first; a head that has waited too long gets every second pick
--   rq:job:ID                HASH  status started, run number + 1
--   msgctl:leases            ZSET  gains ID:RUN until the lease ends: the right to commit
--   rq:wip, rq:execution, rq:executions, rq:worker:W:executions   what RQ's tools read
--   msgctl:paused            SET   queues that are passed over
--   msgctl:history:C         LIST  read, not changed
--   msgctl:parked            HASH  ids whose hash cannot be worked, and why: never executed, never lost from sight
--   rq:suspended, msgctl:order:W   STRING  an operator wants nothing to be claimed, by anybody or by this worker
--   msgctl:workers:idle      SET   this worker, if slots stay free: the next ENQUEUE wakes it
--   msgctl:claimed:W         STRING  the ticket of this worker's last claim, and what it took
--
-- ARGV: worker, free slots, lease in ms, longest wait in ms, 1 to take from the quarantine alone, ticket, how many
--       turns of the conversation to bring along: the head of it alone is in play, so nobody adds to them meanwhile.
-- Safe to send twice: a ticket that was used gets what it got, as far as its leases still hold.
-- Returns a list of {id, run, message, attempts, holds, conversation, reply kept of an earlier run or '', turns}.
local worker, slots, lease, max_wait = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local from_quarantine, ticket, keep_turns = ARGV[5] == '1', ARGV[6], tonumber(ARGV[7])
local now = now_ms()
local OURS, lists = {}, {}
for priority = 1, 10 do
  OURS[K.queue .. priority] = true
  lists[priority] = K.rq_queue .. K.queue .. priority
end
local claimed = {}
local paused = {}
for _, queue in ipairs(redis.call('SMEMBERS', K.paused)) do paused[queue] = true end

local function overdue_queue()
  local oldest, found
  for priority = 2, 10 do
    local queue = K.queue .. priority
    local head = not paused[queue] and redis.call('LINDEX', K.rq_queue .. queue, 0)
    if head then
      local ready = tonumber(read_job(head, K.field_ready)[1]) or now
      if now - ready > max_wait / 2 and (not oldest or ready < oldest) then
        oldest, found = ready, queue
      end
    end
  end
  return found
end

local lowest_open = 1
local function pop_by_priority()
  for priority = lowest_open, 10 do
    local queue = K.queue .. priority
    local id = not paused[queue] and redis.call('LPOP', K.rq_queue .. queue)
    if id then return id end
    lowest_open = priority + 1
  end
end

local someone_overdue = true
local function pop(fair)
  if from_quarantine then return redis.call('LPOP', K.rq_queue .. K.quarantine) end
  -- Most often a message comes alone: one look then spares one at each queue, and at each of their heads.
  if #claimed <= 1 and redis.call('EXISTS', unpack(lists)) == 0 then return nil end
  local queue = fair and someone_overdue and overdue_queue()
  if queue then return redis.call('LPOP', K.rq_queue .. queue) end
  if fair then someone_overdue = false end
  return pop_by_priority()
end

-- A second entry of a message that is elsewhere by now; dropping it costs nothing.
local ELSEWHERE = {deferred = true, started = true, scheduled = true, finished = true, failed = true}

local function count(field)
  return tonumber(string.match(field or '0', '^%d+$'))
end

local function turns(conversation)
  return keep_turns > 0 and redis.call('LRANGE', K.history .. conversation, -keep_turns, -1) or {}
end

local function start(id)
  local job = K.rq_job .. id
  local fields = read_job(id, 'status', 'origin', K.field_message, K.field_conversation, K.field_attempts,
    K.field_holds, K.field_runs, K.field_crashes, K.field_reply)
  if ELSEWHERE[fields[1]] then return end
  local attempts, holds, runs, crashes = count(fields[5]), count(fields[6]), count(fields[7]), count(fields[8])
  local is_whole = fields[1] == 'queued' and OURS[fields[2]] and fields[3] and fields[4]
  if not (is_whole and attempts and holds and runs and crashes) then
    redis.call('HSET', K.parked, id, fields[1] or 'no hash')
    record_event(id, 'parked', worker, 'code', 'unworkable')
    if fields[4] then advance_conversation(fields[4], id, now) end
    return
  end
  local run = runs + 1
  local member, when = id .. ':' .. run, iso(now)
  redis.call('HSET', job, 'status', 'started', 'started_at', when, 'last_heartbeat', when, 'worker_name', worker,
    K.field_progress, 0, K.field_runs, run)
  redis.call('PERSIST', job)
  redis.call('ZADD', K.leases, now + lease, member)
  redis.call('ZADD', K.rq_wip .. fields[2], math.floor(now / 1000) + 31536000, member)
  redis.call('HSET', K.rq_execution .. member, 'id', run, 'job_id', id, 'created_at', now / 1000,
    'last_heartbeat', now / 1000, 'worker_name', worker)
  redis.call('ZADD', K.rq_executions .. id, math.floor(now / 1000) + 31536000, run)
  redis.call('SADD', K.rq_worker .. worker .. K.rq_worker_executions, member)
  record_event(id, 'claimed', worker, 'run', run, 'attempt', attempts + 1)
  claimed[#claimed + 1] = {id, run, fields[3], attempts, holds, fields[4], fields[9] or '',
    turns(fields[4])}
end

-- What this very claim took when it was sent before.
local function taken_before()
  local stub = redis.call('GET', K.claimed .. worker) or ''
  if string.sub(stub, 1, #ticket) ~= ticket then return nil end
  local rows = {}
  for id, run in string.gmatch(string.sub(stub, #ticket + 1), ' (%S+):(%d+)') do
    local fields = read_job(id, K.field_message, K.field_attempts, K.field_holds, K.field_conversation, K.field_reply)
    if holds_lease(id, run) and fields[1] then
      rows[#rows + 1] = {id, tonumber(run), fields[1], count(fields[2]), count(fields[3]), fields[4], fields[5] or '',
        turns(fields[4])}
    end
  end
  return rows
end

local before = taken_before()
if before then return before end

local is_told_not_to = redis.call('EXISTS', K.order .. worker) == 1
if not is_told_not_to and redis.call('EXISTS', K.rq_suspended) == 0 then
  while #claimed < slots do
    local id = pop((now + #claimed) % 2 == 0)
    if not id then break end
    start(id)
  end
end

if #claimed > 0 then
  update_worker(worker, 'HSET', 'state', 'busy')
  local stub = {ticket}
  for _, row in ipairs(claimed) do stub[#stub + 1] = row[1] .. ':' .. row[2] end
  redis.call('SET', K.claimed .. worker, table.concat(stub, ' '), 'PX', lease)
end
if from_quarantine then return claimed end
redis.call(#claimed < slots and not is_told_not_to and 'SADD' or 'SREM', K.idle_workers, worker)
return claimed
