-- COMMIT: end a run with success. In one step it finishes the job, adds two turns to the history, appends the response
-- to the response stream, notifies observers, and advances the conversation.
--
--   msgctl:leases            ZSET  the fence: without the lease nothing is written
--   rq:job:ID                HASH  finished, attempts + 1, and it expires from now on
--   rq:finished:messages:P   ZSET  by the second it expires
--   msgctl:conversation:C    HASH  seq + 1: the number of this response; floor: the last seq that is no longer stored;
--                                  routed, untold: whether the responses before this one were routed
--   msgctl:history:C         LIST  gains two turns and loses the oldest
--   msgctl:replies:C         ZSET  responses for clients that resume
--   msgctl:responses         STREAM responses to deliver; `reached` if this script pushed it to its gateway
--   msgctl:inbox:GATEWAY     STREAM gains the frame, and
--   msgctl:delivery:ID       HASH   the delivery record, if the socket that the response names is open and no earlier
--                                   response of its conversation waits: that saves a hop
--   msgctl:events            STREAM committed, with the duration of each step
--   pubsub:response:CHANNEL, pubsub:conversation:C   for observers
--
-- ARGV[3]: the response, a JSON object without its closing brace: seq and streamId are known only here.
-- ARGV[11], [12]: `step:ms,…` and n8n's execution id or '', for the ledger. [13]: the progress not yet published,
-- `10 20 …`. [14]: the socket that a web response names, or ''. [15]: what was wrong with the answer, or ''.
-- Safe to send twice: the second run returns what the first wrote.
-- Returns {seq, streamId}, or {} if the lease is lost; the reply is then stored in the job for its next run.
local id, run, response = ARGV[1], ARGV[2], ARGV[3]
local user_turn, agent_turn = ARGV[4], ARGV[5]
local max_turns, max_replies = tonumber(ARGV[6]), tonumber(ARGV[7])
local conversation_ttl, completed_ttl, socket = tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[14]

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

-- Push the frame to the gateway of the socket. On any obstacle, also a key of a wrong type, return nil: then the
-- subscriber delivers the response.
local function push_to_gateway(seq, body)
  redis.call('XLEN', K.responses)  -- raises on a wrong type: a response that cannot be stored must not be sent
  local key = K.conversation .. conversation
  local routing = redis.call('HMGET', key, 'routed', 'untold')
  if tonumber(routing[1] or 0) ~= seq - 1 or routing[2] then return nil end
  local ok, gateway = pcall(function()
    local gateway_name = redis.call('HGET', K.socket .. socket, 'gateway')
    if not gateway_name or is_gateway_stale(gateway_name, now) then return nil end
    local frame = {conversation = conversation, seq = seq, kind = 'response', body = body}
    return (push_frame(socket, fields[9] or '', frame))
  end)
  if not ok or not gateway then return nil end
  redis.call('HSET', key, 'routed', seq)
  return 1
end

local may_push = channel == 'web' and socket ~= ''
local seq, stream_id, complete, was_pushed =
  append_numbered_response(conversation, channel, response, max_replies, conversation_ttl, may_push and push_to_gateway)
local history = K.history .. conversation
if max_turns > 0 then
  redis.call('RPUSH', history, user_turn, agent_turn)
  redis.call('LTRIM', history, -max_turns, -1)
  redis.call('PEXPIRE', history, conversation_ttl)
end

redis.call('PUBLISH', K.response_channel .. channel, complete)
redis.call('PUBLISH', K.conversation_channel .. conversation, complete)
-- A progress write after this commit would find no lease, so the commit publishes the rest.
publish_progress(ARGV[10], ARGV[13] .. ' 80 100')

complete_job(id, run .. ' ' .. seq .. ' ' .. stream_id, now, completed_ttl, origin, fields[7], fields[8])
update_worker(worker, 'HINCRBY', 'successful_job_count', 1)
record_event(id, 'committed', worker, 'run', run, 'seq', seq, 'stream', stream_id, 'conversation', conversation,
  'channel', channel, 'steps', ARGV[11], 'execution', ARGV[12], 'warnings', ARGV[15])
advance_conversation(conversation, id, now)
if was_pushed then record_web_delivery(id, socket, seq, worker, now, completed_ttl) end
return {seq, stream_id}
