-- LIBRARY: functions of the queue.

-- Wake one live idle worker. Each worker blocks on its own list, so a token pushed between two reads is not lost.
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

-- Queue a message: at the end of its queue, or at the front if it was queued before. At the front it gets the ready
-- time of the message behind it if that is older, so that it does not hide how long the queue has waited.
local function make_ready(id, now, at_front)
  local job = K.rq_job .. id
  local fields = redis.call('HMGET', job, 'origin', K.field_quarantined)
  local ready = now
  local next_id = at_front and not fields[2] and redis.call('LINDEX', K.rq_queue .. fields[1], 0)
  if next_id then ready = math.min(now, tonumber(read_job(next_id, K.field_ready)[1]) or now) end
  redis.call('HSET', job, 'status', 'queued', 'enqueued_at', iso(now), K.field_ready, ready)
  if fields[2] then
    redis.call('RPUSH', K.rq_queue .. K.quarantine, id)
    return
  end
  redis.call(at_front and 'LPUSH' or 'RPUSH', K.rq_queue .. fields[1], id)
  wake_idle_worker()
end

-- Move a message that may have killed its workers to the quarantine. It stays the head of its conversation.
local function quarantine_message(id, now)
  redis.call('HSET', K.rq_job .. id, K.field_quarantined, 1)
  record_event(id, 'quarantined', 'reaper')
  redis.call('SADD', K.rq_queues, K.rq_queue .. K.quarantine)
  make_ready(id, now, false)
end

-- Remove a message from its mailbox for good and queue the next one, if any.
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
    if job[1] then return end  -- it is queued, running, or delayed already
    redis.call('LPOP', mailbox)
    record_event(head, 'vanished', 'conversation', 'code', 'hash_gone')  -- no message is left to process
    head = redis.call('LINDEX', mailbox, 0)
  end
end

-- Whether this run of a message still holds its lease. Without it the caller must not write.
local function holds_lease(id, run)
  return redis.call('ZSCORE', K.leases, id .. ':' .. run) ~= false
end

-- Publish each step that a message has reached, if somebody subscribes. `event` is JSON up to the number.
local function publish_progress(event, steps)
  for progress in string.gmatch(steps, '%d+') do
    if redis.call('PUBLISH', K.progress_channel, event .. progress .. '}') == 0 then return end
  end
end

-- Change a field of a worker's hash, unless it expired: a dead worker's hash must not return without its TTL.
local function update_worker(worker, command, field, value)
  local key = K.rq_worker .. worker
  if redis.call('EXISTS', key) == 1 then redis.call(command, key, field, value) end
end

-- Remove a run from every key that shows it as running.
local function release_lease(id, run, origin, worker)
  local member = id .. ':' .. run
  redis.call('ZREM', K.leases, member)
  redis.call('ZREM', K.rq_wip .. origin, member)
  redis.call('DEL', K.rq_execution .. member, K.rq_executions .. id)
  local executions = K.rq_worker .. worker .. K.rq_worker_executions
  redis.call('SREM', executions, member)
  if redis.call('EXISTS', executions) == 0 then update_worker(worker, 'HSET', 'state', 'idle') end
end

-- Let an ended message expire, and with it its idempotency key, but not before its identity.
local function expire_job(id, ttl_ms, key)
  redis.call('PEXPIRE', K.rq_job .. id, ttl_ms)
  if key then redis.call('PEXPIRE', key, math.max(ttl_ms, redis.call('PTTL', K.identity .. id))) end
end

-- Let a delayed message wait for n8n as well: its return ends the wait, from `after` milliseconds on. `why` is refused,
-- down, or doubtful (perhaps only its workflow is at fault), or '' if the message does not wait for n8n.
local function wait_for_n8n(id, why, now, after)
  if why == '' then return end
  redis.call('ZADD', why == 'doubtful' and K.n8n_doubtful or K.n8n_held, now + after, id)
  if why ~= 'refused' then redis.call('HSETNX', K.rq_job .. id, K.field_down_since, now) end
end

-- Mark a message as finished. `committed` is what its job says of the commit.
local function complete_job(id, committed, now, ttl_ms, origin, key, attempts)
  local job = K.rq_job .. id
  redis.call('HSET', job, 'status', 'finished', 'ended_at', iso(now), K.field_finished, now, K.field_progress, 100,
    K.field_committed, committed, K.field_attempts, (tonumber(attempts) or 0) + 1)
  redis.call('HDEL', job, K.field_reply)
  expire_job(id, ttl_ms, key)
  redis.call('ZADD', K.rq_finished .. origin, math.floor((now + ttl_ms) / 1000), id)
end

-- Make a message a dead letter: its status is failed, it leaves its mailbox, and its sender is notified through the
-- response stream.
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
