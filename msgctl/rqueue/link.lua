-- LINK: a dead letter names the edited message that was sent in its place.
--
--   rq:job:ID   HASH  edition
--
-- ARGV: id, id of the edition.   Safe to send twice. Returns 1, or 0 where the letter has gone.
local job = K.rq_job .. ARGV[1]
if redis.call('EXISTS', job) == 0 then return 0 end
redis.call('HSET', job, K.field_edition, ARGV[2])
return 1
