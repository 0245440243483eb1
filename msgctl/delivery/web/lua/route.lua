-- Route: send a web response, or the notice of a dead letter, to the gateways that hold the sockets for it.
-- (If the named socket is open and no entry must go before it, commit has done so already.)
--
--   msgctl:responses         STREAM  the entry is acknowledged; the gate for an entry without a number
--   msgctl:conversation:C    HASH    routed: the last number that was routed, so that the order does not depend on
--                                    which subscriber comes first; untold: the last entry that has no number and
--                                    must go before the replies that commit hands over
--   msgctl:replies:C         ZSET    the responses by number: those between routed and this one go first
--   msgctl:socket:S          HASH    {gateway, user} of an open socket
--   msgctl:sockets:C         SET     the sockets that joined the conversation; loses closed ones
--   msgctl:inbox:GATEWAY     STREAM  gains a frame per socket
--   msgctl:gateways          HASH    the ms of each gateway's last heartbeat
--   msgctl:delivery:ID       HASH    SENT with the socket's id, or KEPT for a client that resumes
--
-- ARGV: entry, kind, conversation, seq (0: it has none), body, TTL of a record in ms; message, user and named socket
--       of the body or '', so that the body need not be decoded.
-- Safe to send twice, and by several at a time. Returns how many sockets it reached.
local entry, kind, conversation, seq, body = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local record_ttl = ARGV[6]
local now = now_ms()
local reached = 0

local function text_or_nil(value)
  return type(value) == 'string' and value or nil
end

-- Send a frame to the socket it names, else to all of the user's sockets in the conversation. Returns one that it
-- reached. A named socket whose gateway is stale may be dead, and its user may have reconnected: then to all of them.
local function send_to_sockets(user, named, number, frame_body)
  local receiver
  local frame = {conversation = conversation, seq = number, kind = kind, body = frame_body}
  if named then
    local gateway = push_frame(named, user, frame)
    if gateway then receiver, reached = named, reached + 1 end
    if gateway and not is_gateway_stale(gateway, now) then return named end
  end
  if not user then return receiver end
  for _, socket in ipairs(redis.call('SMEMBERS', K.sockets .. conversation)) do
    if socket ~= receiver then
      local gateway, is_closed = push_frame(socket, user, frame)
      if is_closed then redis.call('SREM', K.sockets .. conversation, socket) end
      if gateway then receiver, reached = socket, reached + 1 end
    end
  end
  return receiver
end

local function deliver(number, frame_body, message, user, named)
  local has_ended = number == 0 and kind == 'response' and redis.call('HEXISTS', K.delivery .. message, 'endedAt') == 1
  if has_ended then return end
  local socket = send_to_sockets(user, named, number, frame_body)
  if kind == 'response' then
    record_web_delivery(message, socket, number, 'subscriber', now, record_ttl)
  else
    record_event(message, 'told', 'subscriber', 'sockets', reached)
  end
end

local function deliver_this(number)
  deliver(number, body, ARGV[7], ARGV[8] ~= '' and ARGV[8] or nil, ARGV[9] ~= '' and ARGV[9] or nil)
end

local function deliver_kept(number, frame_body)
  local ok, event = pcall(cjson.decode, frame_body)
  if not ok or type(event) ~= 'table' or (kind == 'response' and event.channel ~= 'web') then return end
  local metadata = type(event.channelMetadata) == 'table' and event.channelMetadata or {}
  deliver(number, frame_body, tostring(event.messageId), text_or_nil(event.userId), text_or_nil(metadata.websocketId))
end

local first_time = redis.call('XACK', K.responses, K.responses_group, entry) == 1
local state = redis.call('HMGET', K.conversation .. conversation, 'seq', 'routed', 'untold')
if state[3] and not is_later_entry(state[3], entry) then redis.call('HDEL', K.conversation .. conversation, 'untold') end
if seq == 0 or seq > tonumber(state[1] or 0) then
  -- It has no number, or its conversation has expired since: there is no order to keep.
  if first_time then deliver_this(0) end
  return reached
end

local routed = tonumber(state[2] or 0)
if seq <= routed then return 0 end
if seq - routed > 1 then
  local missing = redis.call('ZRANGEBYSCORE', K.replies .. conversation, '(' .. routed, '(' .. seq, 'WITHSCORES')
  for i = 1, #missing, 2 do deliver_kept(tonumber(missing[i + 1]), missing[i]) end
end
deliver_this(seq)
redis.call('HSET', K.conversation .. conversation, 'routed', seq)
return reached
