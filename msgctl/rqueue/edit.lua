-- EDIT: a dead letter gets another text; nothing but a dead letter does.
--
--   rq:job:ID   HASH  the message as JSON
--
-- ARGV: id, message JSON.   Safe to send twice. Returns edited, missing or not_failed.
local job = K.rq_job .. ARGV[1]
local status = redis.call('HGET', job, 'status')
if not status then return 'missing' end
if status ~= 'failed' then return 'not_failed' end
redis.call('HSET', job, K.field_message, ARGV[2])
redis.call('HDEL', job, K.field_reply)  -- it answered another text
return 'edited'
