-- Import response: put a response of another program into the durable stream, whichever subscriber receives it first.
--
--   msgctl:adopted:CHANNEL:ID   STRING  it is in the stream
--   msgctl:conversation:C       HASH    the owner's conversation numbers the response like any other; untold: an
--                                       entry without a number
--   msgctl:replies:C            ZSET    then gains it, for a socket that resumes
--   msgctl:identity:ID, rq:job:ID       a message of msgctl gets a number of its own later
--   msgctl:responses            STREAM  gains it
--
-- ARGV: channel, id, the response without its closing brace, TTL in ms, conversation, its user or '',
--       replies kept per conversation, TTL of a conversation in ms.
-- Safe to send twice. Returns 1 if this run imported it.
local channel, id, draft, ttl, conversation, user = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
if not redis.call('SET', K.adopted .. channel .. ':' .. id, '1', 'NX', 'PX', ttl) then return 0 end
local owner = redis.call('HGET', K.conversation .. conversation, 'user')
if owner and is_owner(owner, user) and redis.call('EXISTS', K.identity .. id, K.rq_job .. id, K.delivery .. id) == 0 then
  append_numbered_response(conversation, channel, draft, tonumber(ARGV[7]), tonumber(ARGV[8]))
else
  local entry = redis.call('XADD', K.responses, '*', 'kind', 'response', 'channel', channel, 'body', draft .. '}')
  if channel == 'web' then mark_unrouted(conversation, entry) end
end
record_event(id, 'adopted', 'subscriber', 'channel', channel)
return 1
