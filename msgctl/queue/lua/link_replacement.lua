-- LINK: a dead letter names the edited message that was sent in its place, and that message names it.
--
--   rq:job:ID   HASH  edition, original
--
-- ARGV: id, id of the edition.   Safe to send twice. One that has gone meanwhile is passed over.
local function name(id, field, what, other)
  local job = K.rq_job .. id
  if redis.call('EXISTS', job) == 0 or redis.call('HGET', job, field) == other then return end
  redis.call('HSET', job, field, other)
  record_event(id, 'edited', 'operator', what, other)
end

name(ARGV[1], K.field_edition, 'edition', ARGV[2])
name(ARGV[2], K.field_original, 'original', ARGV[1])
return 1
