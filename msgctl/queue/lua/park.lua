-- PARK: set a leased message aside whose stored data cannot be read. Operators see it, and its conversation continues.
--
--   msgctl:parked   HASH  gains the id
--   rq:job:ID       HASH  status stopped, one of RQ's; its other fields stay as evidence
--
-- ARGV: id, run.   Safe to send twice. Returns 1, or 0 if the lease is lost.
local id, run = ARGV[1], ARGV[2]
if not holds_lease(id, run) then return 0 end
local fields = read_job(id, 'origin', 'worker_name', K.field_conversation)
release_lease(id, run, fields[1], fields[2])
redis.call('HSET', K.rq_job .. id, 'status', 'stopped')
redis.call('HSET', K.parked, id, 'unreadable')
record_event(id, 'parked', fields[2] or '', 'run', run, 'code', 'unreadable')
advance_conversation(fields[3], id, now_ms())
return 1
