-- DISOWN: hand back what Redis says this worker runs and the worker does not know of: the reply of a CLAIM
-- got lost on its way. To be called when no CLAIM of this worker is under way.
--
-- ARGV: worker, then ID:RUN of everything it knows that it runs.   Returns how many were handed back.
local worker = ARGV[1]
local known = {}
for i = 2, #ARGV do known[ARGV[i]] = true end
local now, count = now_ms(), 0
for _, member in ipairs(redis.call('SMEMBERS', K.rq_worker .. worker .. K.rq_worker_executions)) do
  local id, run = string.match(member, '^(.+):(%d+)$')
  if id and not known[member] and holds_lease(id, run) then
    local origin = redis.call('HGET', K.rq_job .. id, 'origin')
    release_lease(id, run, origin, worker)
    make_ready(id, now, true)
    record_event(id, 'handed_back', worker, 'run', run, 'code', 'claim_reply_lost')
    count = count + 1
  end
end
return count
