-- ROUTE: hand a web response, or the news of a dead letter, to the gateways whose sockets shall have it.
-- (Where the socket it names is there and nothing stands before it, COMMIT has done so already.)
--
--   msgctl:responses         STREAM  the entry is acknowledged; the gate for what has no number
--   msgctl:conversation:C    HASH    routed: the last number that was handed on, so that order does not depend
--                                    on which subscriber comes first; untold: the last that has no number
--                                    and stands before what COMMIT hands over
--   msgctl:replies:C         ZSET    the responses by number: those between routed and this one go first
--   msgctl:socket:S          HASH    {gateway, user} of a socket that is alive
--   msgctl:sockets:C         SET     the sockets that joined the conversation; dead ones are dropped
--   msgctl:inbox:GATEWAY     STREAM  gains a frame a socket
--   msgctl:gateways          HASH    when each gateway last showed that it lives
--   msgctl:delivery:ID       HASH    SENT with the socket's id, or KEPT for a socket that comes back
--
-- ARGV: entry, kind, conversation, seq (0: it has none), body, TTL of a record in ms; message, user and named socket
--       of the body or '', so that it is not read once more.
-- Safe to send twice, and by several at once. Returns how many sockets it reached.
local entry, kind, conversation, seq, body = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local record_ttl = ARGV[6]
local now = now_ms()
local reached = 0

local function text(value)
  return type(value) == 'string' and value or nil
end

-- To the socket it names, else to all of the user's sockets in the conversation. Returns one that it reached.
-- A named socket whose gateway is silent may be dead, and its user have come back elsewhere: then to those as well.
local function hand_on(user, named, number, body_of_it)
  local found
  local frame = {conversation = conversation, seq = number, kind = kind, body = body_of_it}
  if named then
    local gateway = push_frame(named, user, frame)
    if gateway then found, reached = named, reached + 1 end
    if gateway and not is_gateway_stale(gateway, now) then return named end
  end
  if not user then return found end
  for _, socket in ipairs(redis.call('SMEMBERS', K.sockets .. conversation)) do
    if socket ~= found then
      local gateway, gone = push_frame(socket, user, frame)
      if gone then redis.call('SREM', K.sockets .. conversation, socket) end
      if gateway then found, reached = socket, reached + 1 end
    end
  end
  return found
end

local function deliver(number, frame, message, user, named)
  local over = number == 0 and kind == 'response' and redis.call('HEXISTS', K.delivery .. message, 'endedAt') == 1
  if over then return end
  local socket = hand_on(user, named, number, frame)
  if kind == 'response' then
    record_web_delivery(message, socket, number, 'subscriber', now, record_ttl)
  else
    record_event(message, 'told', 'subscriber', 'sockets', reached)
  end
end

local function deliver_this(number)
  deliver(number, body, ARGV[7], ARGV[8] ~= '' and ARGV[8] or nil, ARGV[9] ~= '' and ARGV[9] or nil)
end

local function deliver_kept(number, frame)
  local ok, event = pcall(cjson.decode, frame)
  if not ok or type(event) ~= 'table' or (kind == 'response' and event.channel ~= 'web') then return end
  local metadata = type(event.channelMetadata) == 'table' and event.channelMetadata or {}
  deliver(number, frame, tostring(event.messageId), text(event.userId), text(metadata.websocketId))
end

local first_time = redis.call('XACK', K.responses, K.responses_group, entry) == 1
local known = redis.call('HMGET', K.conversation .. conversation, 'seq', 'routed', 'untold')
if known[3] and not is_later_entry(known[3], entry) then redis.call('HDEL', K.conversation .. conversation, 'untold') end
if seq == 0 or seq > tonumber(known[1] or 0) then
  -- No number, or one of a conversation that was forgotten since: there is no order to keep.
  if first_time then deliver_this(0) end
  return reached
end

local routed = tonumber(known[2] or 0)
if seq <= routed then return 0 end
if seq - routed > 1 then
  local missing = redis.call('ZRANGEBYSCORE', K.replies .. conversation, '(' .. routed, '(' .. seq, 'WITHSCORES')
  for i = 1, #missing, 2 do deliver_kept(tonumber(missing[i + 1]), missing[i]) end
end
deliver_this(seq)
redis.call('HSET', K.conversation .. conversation, 'routed', seq)
return reached
