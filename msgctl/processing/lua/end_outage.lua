-- END OUTAGE: a call that began during the outage was answered, so n8n is up. The messages that still wait are released
-- in steps.
--
--   msgctl:n8n:outage   HASH  keeps the size of the last step only
local step = redis.call('HGET', K.n8n_outage, 'step')
redis.call('DEL', K.n8n_outage)
if step then
  redis.call('HSET', K.n8n_outage, 'step', step)
  redis.call('PEXPIRE', K.n8n_outage, 60000)
end
return 1
