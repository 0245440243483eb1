-- PARK: what a worker claimed and cannot read is set aside, in sight of operators, and its conversation goes on.
--
--   msgctl:parked   HASH  gains the id
--   rq:job:ID       HASH  stopped, as RQ calls it; its other fields stay as evidence
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
