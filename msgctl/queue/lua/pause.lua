-- PAUSE: stop workers from claiming from these queues, or let them claim again and wake the idle ones.
--
--   msgctl:paused   SET     names of the queues that are skipped
--   rq:suspended    STRING  RQ's own key: all queues are skipped, the quarantine included
--
-- ARGV: pause or resume, then names of queues; none: all.   Safe to send twice. Returns the queues that are paused now.
local action = ARGV[1]
if action == 'pause' and #ARGV == 1 then
  redis.call('SET', K.rq_suspended, 1)
elseif action == 'resume' and #ARGV == 1 then
  redis.call('DEL', K.rq_suspended, K.paused)
elseif action == 'resume' and redis.call('DEL', K.rq_suspended) == 1 then -- all other queues stay paused, now by name
  for priority = 1, 10 do redis.call('SADD', K.paused, K.queue .. priority) end
end
for i = 2, #ARGV do redis.call(action == 'pause' and 'SADD' or 'SREM', K.paused, ARGV[i]) end
if action == 'resume' then
  for _ = 1, redis.call('SCARD', K.idle_workers) do wake_idle_worker() end
end
return redis.call('SMEMBERS', K.paused)
