-- Record parts: store how a text of several parts is cut, before the first one is sent. Each later attempt, also by
-- another version or under other settings, sends the same parts.
--
--   msgctl:delivery:ID   HASH    SENDING: texts
--
-- ARGV: id, token of the attempt, the parts as JSON.
-- Safe to send twice. Returns 1 if the attempt is still the current one; else it must send nothing.
local key = K.delivery .. ARGV[1]
local record = redis.call('HMGET', key, 'state', 'token')
if record[1] ~= 'SENDING' or record[2] ~= ARGV[2] then return 0 end
redis.call('HSET', key, 'texts', ARGV[3])
return 1
