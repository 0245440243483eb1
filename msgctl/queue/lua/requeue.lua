-- REQUEUE: return a stopping worker's messages to their queues. It does not count as an attempt.
--
-- ARGV: id, run, id, run, …   Returns how many were requeued; a message whose lease is lost is skipped.
local now, requeued = now_ms(), 0
for i = 1, #ARGV, 2 do
  local id, run = ARGV[i], ARGV[i + 1]
  if holds_lease(id, run) then
    local fields = redis.call('HMGET', K.rq_job .. id, 'origin', 'worker_name')
    release_lease(id, run, fields[1], fields[2])
    make_ready(id, now, true)
    record_event(id, 'handed_back', fields[2], 'run', run)
    requeued = requeued + 1
  end
end
return requeued
