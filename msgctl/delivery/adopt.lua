-- ADOPT: a response that another program published enters the durable stream, whichever subscriber hears it first.
--
--   msgctl:adopted:CHANNEL:ID   STRING  it is in the stream
--   msgctl:responses            STREAM  gains it
--
-- ARGV: channel, id, body, TTL in ms.   Safe to send twice. Returns 1 if this run adopted it.
if not redis.call('SET', K.adopted .. ARGV[1] .. ':' .. ARGV[2], '1', 'NX', 'PX', ARGV[4]) then return 0 end
redis.call('XADD', K.responses, '*', 'kind', 'response', 'channel', ARGV[1], 'body', ARGV[3])
note(ARGV[2], 'adopted', 'subscriber', 'channel', ARGV[1])
return 1
