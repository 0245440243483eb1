-- FAIL: end a run without an answer. The message waits for another attempt or becomes a dead letter.
--
--   msgctl:leases             ZSET  the fence: without the lease nothing is written
--   rq:job:ID                 HASH  scheduled or failed; attempts, snoozes, the error, and the record of this run
--   rq:scheduled:messages:P   ZSET  by the second it is due again; it stays the head of its conversation
--   rq:failed:messages:P      ZSET  the dead letters, by the second they expire
--   msgctl:n8n:held|doubtful  ZSET  gains the id if it waits for n8n
--
-- ARGV: id, run, delay in ms (negative: no further attempt), counts as an attempt 1|0, error JSON, record JSON of this
--       run, TTL of a dead letter in ms, failure JSON for its sender, class and code of the error, `step:ms,…`, why it
--       waits for n8n ('' if it does not, refused, down, or doubtful), ms after which n8n's return may end the wait.
-- Safe to send twice. Returns 1, or 0 if the lease is lost.
local id, run, delay, counts = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local job = K.rq_job .. id
if not holds_lease(id, run) then
  return redis.call('HEXISTS', job, K.field_run .. run)
end
local now = now_ms()
local fields = redis.call('HMGET', job, 'origin', 'worker_name')
release_lease(id, run, fields[1], fields[2])
redis.call('HSET', job, K.field_error, ARGV[5], K.field_run .. run, ARGV[6])
if counts == 1 then
  redis.call('HINCRBY', job, K.field_attempts, 1)
  redis.call('HSET', job, K.field_holds, 0)
  redis.call('HDEL', job, K.field_down_since)
else
  -- An outage may snooze a message a thousand times: only the last record is kept.
  if redis.call('HINCRBY', job, K.field_holds, 1) > 1 then redis.call('HDEL', job, K.field_run .. (run - 1)) end
end
record_event(id, (counts == 1 or delay < 0) and 'failed' or 'held', fields[2], 'run', run, 'class', ARGV[9], 'code', ARGV[10],
  'again_ms', delay, 'steps', ARGV[11])
if delay >= 0 then
  redis.call('HSET', job, 'status', 'scheduled')
  redis.call('ZADD', K.rq_scheduled .. fields[1], (now + delay) / 1000, id)
  wait_for_n8n(id, ARGV[12], now, tonumber(ARGV[13]))
else
  update_worker(fields[2], 'HINCRBY', 'failed_job_count', 1)
  dead_letter(id, now, tonumber(ARGV[7]), ARGV[8], fields[2], ARGV[10])
end
return 1
