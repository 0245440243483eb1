-- COMMIT: the message is answered. One step finishes the job, remembers the turn, hands the response to the
-- durable stream and the observers, and brings the next message of the conversation into play.
--
--   msgctl:leases            ZSET  the fence: without the lease nothing is written
--   rq:job:ID                HASH  finished, attempts + 1, and from now on it expires
--   rq:finished:messages:P   ZSET  by the second it expires
--   msgctl:conversation:C    HASH  seq + 1: the number of this response; floor: the last seq no longer kept;
--                                  routed, untold: whether it is this response's turn
--   msgctl:history:C         LIST  two turns more, the oldest gone
--   msgctl:replies:C         ZSET  what a socket that comes back can still have
--   msgctl:responses         STREAM what is to be delivered; `reached` if it has been, here
--   msgctl:inbox:GATEWAY     STREAM gains the frame, and
--   msgctl:delivery:ID       HASH   the record of a delivery, if the socket that the response names is there and
--                                   nothing of its conversation stands before it: that saves a hop
--   msgctl:events            STREAM committed, with how long each step took
--   pubsub:response:CHANNEL, pubsub:conversation:C   the observers' door
--
-- ARGV[11], [12]: `step:ms,…` and n8n's execution id or '', for the ledger. [13]: the steps not yet told, `10 20 …`.
-- [14]: the socket that a web response names, or ''.
-- `response` is a JSON object without its closing brace: seq and streamId are known only here.
-- Safe to send twice: the second run finds what the first wrote.
-- Returns {seq, streamId}, or {} if the lease is lost; the reply then stays with the message for its next run.
local id, run, response = ARGV[1], ARGV[2], ARGV[3]
local user_turn, agent_turn = ARGV[4], ARGV[5]
local keep_turns, keep_replies = tonumber(ARGV[6]), tonumber(ARGV[7])
local conversation_ttl, completed_ttl, named = tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[14]

local job = K.rq_job .. id
local fields = redis.call('HMGET', job, 'origin', 'worker_name', K.field_conversation, K.field_channel,
  K.field_committed, 'status', K.field_key, K.field_attempts, K.field_user)
local origin, worker, conversation, channel, committed = fields[1], fields[2], fields[3], fields[4], fields[5]
if not holds_lease(id, run) then
  local done_run, seq, stream_id = string.match(committed or '', '^(%d+) (%d+) (.+)$')
  if done_run == run then return {tonumber(seq), stream_id} end
  if fields[6] and fields[6] ~= 'finished' then redis.call('HSET', job, K.field_reply, response) end
  return {}
end

local now = now_ms()
release_lease(id, run, origin, worker)

-- What it finds in the way, a key of a wrong type too, it leaves to the subscriber.
local function hand_over(number, body)
  redis.call('XLEN', K.responses)  -- of a wrong type: nothing shall go out that cannot be written down
  local key = K.conversation .. conversation
  local order = redis.call('HMGET', key, 'routed', 'untold')
  if tonumber(order[1] or 0) ~= number - 1 or order[2] then return nil end
  local ok, gateway = pcall(function()
    local at = redis.call('HGET', K.socket .. named, 'gateway')
    if not at or is_gateway_stale(at, now) then return nil end
    local frame = {conversation = conversation, seq = number, kind = 'response', body = body}
    return (push_frame(named, fields[9] or '', frame))
  end)
  if not ok or not gateway then return nil end
  redis.call('HSET', key, 'routed', number)
  return 1
end

local may_hand_over = channel == 'web' and named ~= ''
local seq, stream_id, complete, reached =
  append_numbered_response(conversation, channel, response, keep_replies, conversation_ttl, may_hand_over and hand_over)
local history = K.history .. conversation
if keep_turns > 0 then
  redis.call('RPUSH', history, user_turn, agent_turn)
  redis.call('LTRIM', history, -keep_turns, -1)
  redis.call('PEXPIRE', history, conversation_ttl)
end

redis.call('PUBLISH', K.response_channel .. channel, complete)
redis.call('PUBLISH', K.conversation_channel .. conversation, complete)
-- Notes of before would come after the lease is gone, so they are told from here.
publish_progress(ARGV[10], ARGV[13] .. ' 80 100')

redis.call('HSET', job, 'status', 'finished', 'ended_at', iso(now), K.field_finished, now, K.field_progress, 100,
  K.field_committed, run .. ' ' .. seq .. ' ' .. stream_id, K.field_attempts, (tonumber(fields[8]) or 0) + 1)
redis.call('HDEL', job, K.field_reply)
expire_job(id, completed_ttl, fields[7])
redis.call('ZADD', K.rq_finished .. origin, math.floor((now + completed_ttl) / 1000), id)
update_worker(worker, 'HINCRBY', 'successful_job_count', 1)
record_event(id, 'committed', worker, 'run', run, 'seq', seq, 'stream', stream_id, 'conversation', conversation,
  'channel', channel, 'steps', ARGV[11], 'execution', ARGV[12])
advance_conversation(conversation, id, now)
if reached then record_web_delivery(id, named, seq, worker, now, completed_ttl) end
return {seq, stream_id}
