-- FORGET: workers whose last sign of life has run out leave every register; RQ itself does so only in its own worker.
--
--   rq:workers, rq:workers:QUEUE   SET  of `rq:worker:NAME`
--   rq:worker:NAME:executions      SET  what a dead one ran; its leases are the reaper's
--   msgctl:workers:idle            SET  of names
--
-- ARGV: names of the queues.   Safe to send twice. Returns how many were forgotten.
local count = 0
for _, key in ipairs(redis.call('SMEMBERS', K.rq_workers)) do
  if redis.call('EXISTS', key) == 0 then
    redis.call('SREM', K.rq_workers, key)
    for _, queue in ipairs(ARGV) do redis.call('SREM', K.rq_workers .. ':' .. queue, key) end
    redis.call('SREM', K.idle_workers, string.sub(key, #K.rq_worker + 1))
    local executions = key .. K.rq_worker_executions
    for _, member in ipairs(redis.call('SMEMBERS', executions)) do
      if not redis.call('ZSCORE', K.leases, member) then redis.call('SREM', executions, member) end
    end
    count = count + 1
  end
end
return count
