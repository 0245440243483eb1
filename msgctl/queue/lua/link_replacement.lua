-- LINK REPLACEMENT: make a dead letter and the edited message that replaces it refer to each other.
--
--   rq:job:ID   HASH  edition, original
--
-- ARGV: id of the dead letter, id of the replacement.   Safe to send twice. A message that was deleted is skipped.
local function link(id, field, what, other)
  local job = K.rq_job .. id
  if redis.call('EXISTS', job) == 0 or redis.call('HGET', job, field) == other then return end
  redis.call('HSET', job, field, other)
  record_event(id, 'edited', 'operator', what, other)
end

link(ARGV[1], K.field_edition, 'edition', ARGV[2])
link(ARGV[2], K.field_original, 'original', ARGV[1])
return 1
