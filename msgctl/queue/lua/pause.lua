-- PAUSE: nobody claims from these queues, or everybody may again; workers that idled are woken then.
--
--   msgctl:paused   SET     names of the queues that are passed over
--   rq:suspended    STRING  RQ's own word for all of them and the quarantine
--
-- ARGV: pause or resume, then names of queues; none: all.   Safe to send twice. Returns the queues now paused.
local verb = ARGV[1]
if verb == 'pause' and #ARGV == 1 then
  redis.call('SET', K.rq_suspended, 1)
elseif verb == 'resume' and #ARGV == 1 then
  redis.call('DEL', K.rq_suspended, K.paused)
elseif verb == 'resume' and redis.call('DEL', K.rq_suspended) == 1 then -- all but these stay paused, each by its name
  for priority = 1, 10 do redis.call('SADD', K.paused, K.queue .. priority) end
end
for i = 2, #ARGV do redis.call(verb == 'pause' and 'SADD' or 'SREM', K.paused, ARGV[i]) end
if verb == 'resume' then
  for _ = 1, redis.call('SCARD', K.idle_workers) do wake_idle_worker() end
end
return redis.call('SMEMBERS', K.paused)
