-- PRUNE WORKERS: remove workers whose heartbeat expired from every registry. RQ does so only in its own worker.
--
--   rq:workers, rq:workers:QUEUE   SET  of `rq:worker:NAME`
--   rq:worker:NAME:executions      SET  the runs of a dead worker; those that have a lease are left to the reaper
--   msgctl:workers:idle            SET  of names
--
-- ARGV: names of the queues.   Safe to send twice. Returns how many were removed.
local pruned = 0
for _, key in ipairs(redis.call('SMEMBERS', K.rq_workers)) do
  if redis.call('EXISTS', key) == 0 then
    redis.call('SREM', K.rq_workers, key)
    for _, queue in ipairs(ARGV) do redis.call('SREM', K.rq_workers .. ':' .. queue, key) end
    redis.call('SREM', K.idle_workers, string.sub(key, #K.rq_worker + 1))
    local executions = key .. K.rq_worker_executions
    for _, member in ipairs(redis.call('SMEMBERS', executions)) do
      if not redis.call('ZSCORE', K.leases, member) then redis.call('SREM', executions, member) end
    end
    pruned = pruned + 1
  end
end
return pruned
