-- BODIES: what was accepted, for the projector to keep until it has ended. Reads only.
--
--   rq:job:ID            HASH  the message as JSON
--   msgctl:identity:ID   HASH  its digest
--
-- ARGV: ids.   Returns for each {message, digest}, or {} where one of them is gone.
local rows = {}
for _, id in ipairs(ARGV) do
  local message = read_job(id, K.field_message)[1]
  local digest = redis.pcall('HGET', K.identity .. id, 'digest')
  rows[#rows + 1] = message and type(digest) == 'string' and {message, digest} or {}
end
return rows
