-- REQUEUE UNKNOWN: requeue the messages that this worker leases without knowing it, because the reply of a CLAIM was
-- lost. It must not run while a CLAIM of this worker is in flight.
--
-- ARGV: worker, then ID:RUN of each run that it knows.   Returns how many were requeued.
local worker = ARGV[1]
local known = {}
for i = 2, #ARGV do known[ARGV[i]] = true end
local now, requeued = now_ms(), 0
for _, member in ipairs(redis.call('SMEMBERS', K.rq_worker .. worker .. K.rq_worker_executions)) do
  local id, run = string.match(member, '^(.+):(%d+)$')
  if id and not known[member] and holds_lease(id, run) then
    local origin = redis.call('HGET', K.rq_job .. id, 'origin')
    release_lease(id, run, origin, worker)
    make_ready(id, now, true)
    record_event(id, 'handed_back', worker, 'run', run, 'code', 'claim_reply_lost')
    requeued = requeued + 1
  end
end
return requeued
