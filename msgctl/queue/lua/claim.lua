-- CLAIM: lease as many messages to a worker as it has free slots.
--
--   rq:queue:messages:P      LIST  highest priority first; a head that has waited too long gets every second pick
--   rq:job:ID                HASH  status started, run number + 1
--   msgctl:leases            ZSET  gains ID:RUN until the lease ends: the right to commit
--   rq:wip, rq:execution, rq:executions, rq:worker:W:executions   for RQ's tools
--   msgctl:paused            SET   queues that are skipped
--   msgctl:history:C         LIST  read, not changed
--   msgctl:parked            HASH  ids whose hash cannot be processed, and why: never executed, always visible
--   rq:suspended, msgctl:order:W   STRING  an operator has paused all workers, or drains or stops this one
--   msgctl:workers:idle      SET   this worker, if slots stay free: the next ENQUEUE wakes it
--   msgctl:claimed:W         STRING  the ticket of this worker's last claim, and its leases
--
-- ARGV: worker, free slots, lease in ms, longest wait in ms, 1 to claim only from the quarantine, ticket, number of
--       turns of the history to return. Only the head of a conversation runs, so its history does not change meanwhile.
-- Safe to send twice: a ticket that was used returns the same messages, if their leases still hold.
-- Returns a list of {id, run, message, attempts, snoozes, conversation, stored reply of an earlier run or '', turns,
-- ms since n8n first answered it that it is down}.
local worker, slots, lease, max_wait = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local from_quarantine, ticket, max_turns = ARGV[5] == '1', ARGV[6], tonumber(ARGV[7])
local now = now_ms()
local OUR_QUEUES, queue_keys = {}, {}
for priority = 1, 10 do
  OUR_QUEUES[K.queue .. priority] = true
  queue_keys[priority] = K.rq_queue .. K.queue .. priority
end
local claimed = {}
local paused = {}
for _, queue in ipairs(redis.call('SMEMBERS', K.paused)) do paused[queue] = true end

local function find_overdue_queue()
  local oldest, oldest_queue
  for priority = 2, 10 do
    local queue = K.queue .. priority
    local head = not paused[queue] and redis.call('LINDEX', K.rq_queue .. queue, 0)
    if head then
      local ready = tonumber(read_job(head, K.field_ready)[1]) or now
      if now - ready > max_wait / 2 and (not oldest or ready < oldest) then
        oldest, oldest_queue = ready, queue
      end
    end
  end
  return oldest_queue
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

local may_be_overdue = true
local function pop(prefer_overdue)
  if from_quarantine then return redis.call('LPOP', K.rq_queue .. K.quarantine) end
  -- Most often one message arrives at a time. Then this check saves reading each queue and each of their heads.
  if #claimed <= 1 and redis.call('EXISTS', unpack(queue_keys)) == 0 then return nil end
  local queue = prefer_overdue and may_be_overdue and find_overdue_queue()
  if queue then return redis.call('LPOP', K.rq_queue .. queue) end
  if prefer_overdue then may_be_overdue = false end
  return pop_by_priority()
end

-- A queue entry whose message has one of these states is a duplicate and can be dropped.
local NOT_QUEUED = {deferred = true, started = true, scheduled = true, finished = true, failed = true}

local function to_int(field)
  return tonumber(string.match(field or '0', '^%d+$'))
end

local function read_turns(conversation)
  return max_turns > 0 and redis.call('LRANGE', K.history .. conversation, -max_turns, -1) or {}
end

-- Milliseconds since n8n first answered a message that it is down.
local function down_for(since)
  return since and math.max(0, now - (to_int(since) or now)) or 0
end

local function start_run(id)
  local job = K.rq_job .. id
  local fields = read_job(id, 'status', 'origin', K.field_message, K.field_conversation, K.field_attempts,
    K.field_holds, K.field_runs, K.field_crashes, K.field_reply, K.field_down_since)
  if NOT_QUEUED[fields[1]] then return end
  local attempts, snoozes, runs, crashes = to_int(fields[5]), to_int(fields[6]), to_int(fields[7]), to_int(fields[8])
  local is_valid = fields[1] == 'queued' and OUR_QUEUES[fields[2]] and fields[3] and fields[4]
  if not (is_valid and attempts and snoozes and runs and crashes) then
    redis.call('HSET', K.parked, id, fields[1] or 'no hash')
    record_event(id, 'parked', worker, 'code', 'unworkable')
    if fields[4] then advance_conversation(fields[4], id, now) end
    return
  end
  local run = runs + 1
  local member, now_iso = id .. ':' .. run, iso(now)
  redis.call('HSET', job, 'status', 'started', 'started_at', now_iso, 'last_heartbeat', now_iso,
    'worker_name', worker, K.field_progress, 0, K.field_runs, run)
  redis.call('PERSIST', job)
  redis.call('ZADD', K.leases, now + lease, member)
  redis.call('ZADD', K.rq_wip .. fields[2], math.floor(now / 1000) + 31536000, member)
  redis.call('HSET', K.rq_execution .. member, 'id', run, 'job_id', id, 'created_at', now / 1000,
    'last_heartbeat', now / 1000, 'worker_name', worker)
  redis.call('ZADD', K.rq_executions .. id, math.floor(now / 1000) + 31536000, run)
  redis.call('SADD', K.rq_worker .. worker .. K.rq_worker_executions, member)
  record_event(id, 'claimed', worker, 'run', run, 'attempt', attempts + 1)
  if snoozes > 0 then
    redis.call('ZREM', K.n8n_held, id)
    redis.call('ZREM', K.n8n_doubtful, id)
  end
  claimed[#claimed + 1] = {id, run, fields[3], attempts, snoozes, fields[4], fields[9] or '',
    read_turns(fields[4]), down_for(fields[10])}
end

-- Return the rows of this claim if it was sent before, or nil.
local function read_repeated_claim()
  local record = redis.call('GET', K.claimed .. worker) or ''
  if string.sub(record, 1, #ticket) ~= ticket then return nil end
  local rows = {}
  for id, run in string.gmatch(string.sub(record, #ticket + 1), ' (%S+):(%d+)') do
    local fields = read_job(id, K.field_message, K.field_attempts, K.field_holds, K.field_conversation, K.field_reply,
      K.field_down_since)
    if holds_lease(id, run) and fields[1] then
      rows[#rows + 1] = {id, tonumber(run), fields[1], to_int(fields[2]), to_int(fields[3]), fields[4],
        fields[5] or '', read_turns(fields[4]), down_for(fields[6])}
    end
  end
  return rows
end

local repeated = read_repeated_claim()
if repeated then return repeated end

local has_order = redis.call('EXISTS', K.order .. worker) == 1
if not has_order and redis.call('EXISTS', K.rq_suspended) == 0 then
  while #claimed < slots do
    local id = pop((now + #claimed) % 2 == 0)
    if not id then break end
    start_run(id)
  end
end

if #claimed > 0 then
  update_worker(worker, 'HSET', 'state', 'busy')
  local record = {ticket}
  for _, row in ipairs(claimed) do record[#record + 1] = row[1] .. ':' .. row[2] end
  redis.call('SET', K.claimed .. worker, table.concat(record, ' '), 'PX', lease)
end
if from_quarantine then return claimed end
redis.call(#claimed < slots and not has_order and 'SADD' or 'SREM', K.idle_workers, worker)
return claimed
