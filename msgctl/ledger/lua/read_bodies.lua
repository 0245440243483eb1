-- READ BODIES: read accepted messages for the projector, which keeps them until they have ended. It writes nothing.
--
--   rq:job:ID            HASH  the message as JSON
--   msgctl:identity:ID   HASH  its digest
--
-- ARGV: ids.   Returns for each {message, digest}, or {} if one of them no longer exists.
local rows = {}
for _, id in ipairs(ARGV) do
  local message = read_job(id, K.field_message)[1]
  local digest = redis.pcall('HGET', K.identity .. id, 'digest')
  rows[#rows + 1] = message and type(digest) == 'string' and {message, digest} or {}
end
return rows
