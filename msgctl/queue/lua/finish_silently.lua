-- FINISH_SILENTLY: end a run whose workflow asked for no reply. Nothing is delivered; the message is completed, and the
-- conversation continues.
--
--   msgctl:leases            ZSET  the fence: without the lease nothing is written
--   rq:job:ID                HASH  finished, attempts + 1, and it expires from now on
--   rq:finished:messages:P   ZSET  by the second it expires
--   msgctl:history:C         LIST  gains the customer's turn alone
--   msgctl:events            STREAM silent, with the duration of each step
--
-- ARGV: id, run, the customer's turn, turns to keep, TTL of the history in ms, TTL of the job in ms, progress event up
--       to its number, `step:ms,…`, n8n's execution id or '', progress not yet published, number of warnings.
-- Safe to send twice. Returns 1, or 0 if the lease is lost.
local id, run, max_turns = ARGV[1], ARGV[2], tonumber(ARGV[4])
local job = K.rq_job .. id
local fields = redis.call('HMGET', job, 'origin', 'worker_name', K.field_conversation, K.field_committed, K.field_key,
  K.field_attempts)
local origin, worker, conversation, completed_ttl = fields[1], fields[2], fields[3], tonumber(ARGV[6])
if not holds_lease(id, run) then
  return string.match(fields[4] or '', '^%d+') == run and 1 or 0
end
local now = now_ms()
release_lease(id, run, origin, worker)
if max_turns > 0 then
  local history = K.history .. conversation
  redis.call('RPUSH', history, ARGV[3])
  redis.call('LTRIM', history, -max_turns, -1)
  redis.call('PEXPIRE', history, ARGV[5])
end
publish_progress(ARGV[7], ARGV[10] .. ' 80 100')
complete_job(id, run .. K.silent_commit, now, completed_ttl, origin, fields[5], fields[6])
update_worker(worker, 'HINCRBY', 'successful_job_count', 1)
record_event(id, 'silent', worker, 'run', run, 'conversation', conversation, 'steps', ARGV[8], 'execution', ARGV[9],
  'warnings', ARGV[11])
advance_conversation(conversation, id, now)
return 1
