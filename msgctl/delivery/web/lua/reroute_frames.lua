-- Reroute frames: move frames for the sockets of a gateway without heartbeat to other sockets of their users.
--
-- Between a gateway's death and the moment it counts as stale, frames go into its inbox. A user who has reconnected
-- meanwhile, by `resume` at another gateway, has not got them. Frames that would arrive out of order are left for the
-- `resume` of a client that sees the gap in the numbers.
--
--   msgctl:gateways          HASH    the ms of each gateway's last heartbeat
--   msgctl:inbox:GATEWAY     STREAM  loses frames that other sockets get, and gains a `moved` entry for each, in case
--                                    the gateway returns; is emptied once its sockets have expired
--   msgctl:sockets:C         SET     the sockets that joined the conversation
--   msgctl:conversation:C    HASH    routed: the last number that was routed
--
-- ARGV: ms after which the sockets of a stale gateway have expired, most frames to examine.
-- Safe to send twice, and by several at a time. Returns how many frames were moved.
local expired_after, limit = tonumber(ARGV[1]), ARGV[2]
local now = now_ms()
local moved = 0

local function give_to_others(fields)
  local ok, event = pcall(cjson.decode, fields.body)
  if not ok or type(event) ~= 'table' or type(event.userId) ~= 'string' then return false end
  local frame = {conversation = fields.conversation, seq = fields.seq, kind = fields.kind, body = fields.body}
  local receiver = false
  for _, socket in ipairs(redis.call('SMEMBERS', K.sockets .. fields.conversation)) do
    local gateway = redis.call('HGET', K.socket .. socket, 'gateway')
    if gateway and not is_gateway_stale(gateway, now) then
      receiver = push_frame(socket, event.userId, frame) and socket or receiver
    end
  end
  if receiver then
    record_event(tostring(event.messageId), fields.kind == 'response' and 'sent' or 'told', 'subscriber', 'channel', 'web',
      'seq', fields.seq, 'provider', receiver)
  end
  return receiver ~= false
end

-- The frames of an inbox, each with its id, and the set of their numbers per conversation.
local function read(inbox)
  local frames, numbers = {}, {}
  for _, entry in ipairs(redis.call('XRANGE', inbox, '-', '+', 'COUNT', limit)) do
    local fields = {id = entry[1]}
    for k = 1, #entry[2], 2 do fields[entry[2][k]] = entry[2][k + 1] end
    if fields.kind ~= 'moved' then
      frames[#frames + 1] = fields
      numbers[fields.conversation] = numbers[fields.conversation] or {}
      numbers[fields.conversation][tonumber(fields.seq)] = true
    end
  end
  return frames, numbers
end

-- Whether no later response of the conversation has gone to a live socket: this one would arrive after it.
local function is_in_order(fields, numbers)
  local seq = tonumber(fields.seq)
  if seq == 0 then return true end
  local routed = tonumber(redis.call('HGET', K.conversation .. fields.conversation, 'routed') or 0)
  for later = seq + 1, routed do
    if not numbers[fields.conversation][later] then return false end
  end
  return true
end

local heartbeats = redis.call('HGETALL', K.gateways)
for i = 1, #heartbeats, 2 do
  local gateway, last_heartbeat = heartbeats[i], tonumber(heartbeats[i + 1])
  local inbox = K.inbox .. gateway
  if is_gateway_stale(gateway, now) and redis.call('EXISTS', inbox) == 1 then
    local frames, numbers = read(inbox)
    for _, fields in ipairs(frames) do
      if is_in_order(fields, numbers) and give_to_others(fields) then
        redis.call('XDEL', inbox, fields.id)
        redis.call('XADD', inbox, '*', 'socket', fields.socket, 'conversation', fields.conversation,
          'seq', fields.seq, 'kind', 'moved', 'body', '')
        moved = moved + 1
      end
    end
    -- Emptied, not deleted: a gateway that returns can count the frames it lost.
    if now - last_heartbeat > expired_after then redis.call('XTRIM', inbox, 'MAXLEN', 0) end
  end
end
return moved
