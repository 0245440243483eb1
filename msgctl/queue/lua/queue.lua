-- LIBRARY: functions of the queue.

-- Wake one idle worker that is alive; it blocks on its own list, so a token is never lost between two looks.
local function wake_idle_worker()
  local worker = redis.call('SPOP', K.idle_workers)
  while worker do
    if redis.call('EXISTS', K.rq_worker .. worker) == 1 then
      redis.call('LPUSH', K.wake .. worker, '1')
      redis.call('EXPIRE', K.wake .. worker, 60)
      return
    end
    worker = redis.call('SPOP', K.idle_workers)
  end
end

-- Put a message where a worker finds it: at the end of its queue, or at the front if it has been there before.
-- At the front it counts as waiting as long as those behind it, lest it hide how long they have.
local function make_ready(id, now, front)
  local job = K.rq_job .. id
  local fields = redis.call('HMGET', job, 'origin', K.field_quarantined)
  local ready = now
  local behind = front and not fields[2] and redis.call('LINDEX', K.rq_queue .. fields[1], 0)
  if behind then ready = math.min(now, tonumber(read_job(behind, K.field_ready)[1]) or now) end
  redis.call('HSET', job, 'status', 'queued', 'enqueued_at', iso(now), K.field_ready, ready)
  if fields[2] then
    redis.call('RPUSH', K.rq_queue .. K.quarantine, id)
    return
  end
  redis.call(front and 'LPUSH' or 'RPUSH', K.rq_queue .. fields[1], id)
  wake_idle_worker()
end

-- A message that may have killed its workers waits apart from now on, still the head of its conversation.
local function quarantine_message(id, now)
  redis.call('HSET', K.rq_job .. id, K.field_quarantined, 1)
  record_event(id, 'quarantined', 'reaper')
  redis.call('SADD', K.rq_queues, K.rq_queue .. K.quarantine)
  make_ready(id, now, false)
end

-- A message leaves its conversation for good: the next one, if any, comes into play.
local function advance_conversation(conversation, id, now)
  local mailbox = K.mailbox .. conversation
  redis.call('LREM', mailbox, 1, id)
  local head = redis.call('LINDEX', mailbox, 0)
  while head do
    local job = read_job(head, 'status', 'origin')
    if job[1] == 'deferred' then
      redis.call('ZREM', K.rq_deferred .. job[2], head)
      make_ready(head, now, false)
      record_event(head, 'queued', 'conversation', 'after', id)
      return
    end
    if job[1] then return end  -- it is in play already
    redis.call('LPOP', mailbox)
    record_event(head, 'vanished', 'conversation', 'code', 'hash_gone')  -- nothing can be worked
    head = redis.call('LINDEX', mailbox, 0)
  end
end

-- Whether this run of a message still holds its lease; without one, nothing may be written.
local function holds_lease(id, run)
  return redis.call('ZSCORE', K.leases, id .. ':' .. run) ~= false
end

-- Tell observers, if there are any, of each step that a message has passed. `event` is JSON up to the number.
local function publish_progress(event, passed)
  for progress in string.gmatch(passed, '%d+') do
    if redis.call('PUBLISH', K.progress_channel, event .. progress .. '}') == 0 then return end
  end
end

-- Write something of a worker, unless it is gone: a dead worker's hash must not come back without its TTL.
local function update_worker(worker, command, field, value)
  local key = K.rq_worker .. worker
  if redis.call('EXISTS', key) == 1 then redis.call(command, key, field, value) end
end

-- Take a run out of every place that shows it as running.
local function release_lease(id, run, origin, worker)
  local member = id .. ':' .. run
  redis.call('ZREM', K.leases, member)
  redis.call('ZREM', K.rq_wip .. origin, member)
  redis.call('DEL', K.rq_execution .. member, K.rq_executions .. id)
  local executions = K.rq_worker .. worker .. K.rq_worker_executions
  redis.call('SREM', executions, member)
  if redis.call('EXISTS', executions) == 0 then update_worker(worker, 'HSET', 'state', 'idle') end
end

-- A message that is over is forgotten after a while; so is its client's key for it, but not before its identity.
local function expire_job(id, ttl_ms, key)
  redis.call('PEXPIRE', K.rq_job .. id, ttl_ms)
  if key then redis.call('PEXPIRE', key, math.max(ttl_ms, redis.call('PTTL', K.identity .. id))) end
end

-- Dead letter: failed for RQ, out of its conversation, and its sender is told through the durable stream.
local function dead_letter(id, now, ttl_ms, failure, by, code)
  local job = K.rq_job .. id
  record_event(id, 'buried', by, 'code', code)
  local fields = redis.call('HMGET', job, 'origin', K.field_conversation, K.field_channel, K.field_key)
  redis.call('HSET', job, 'status', 'failed', 'ended_at', iso(now), K.field_finished, now)
  expire_job(id, ttl_ms, fields[4])
  redis.call('ZADD', K.rq_failed .. fields[1], math.floor((now + ttl_ms) / 1000), id)
  local entry = redis.call('XADD', K.responses, '*', 'kind', 'failure', 'channel', fields[3], 'body', failure)
  if fields[3] == 'web' then mark_unrouted(fields[2] or '', entry) end
  advance_conversation(fields[2], id, now)
end
