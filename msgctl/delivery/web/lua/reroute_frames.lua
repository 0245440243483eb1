-- INHERIT: what waits for the sockets of a gateway that fell silent goes to where their users have come back.
--
-- Between a gateway's death and the moment it counts as silent, frames go into its inbox. Whoever has come back
-- meanwhile, by `resume` at another gateway, has not got them. What would come out of order is left for the `resume`
-- of a client that sees the gap in the numbers.
--
--   msgctl:gateways          HASH    when each gateway last showed that it lives
--   msgctl:inbox:GATEWAY     STREAM  loses what others are given, and tells the socket so, should the gateway come
--                                    back; loses all of it once its sockets have expired
--   msgctl:sockets:C         SET     the sockets that joined the conversation
--   msgctl:conversation:C    HASH    routed: the last number that was handed on
--
-- ARGV: ms after which the sockets of a silent gateway are gone, most frames to look at.
-- Safe to send twice, and by several at once. Returns how many frames went elsewhere.
local gone_after, most = tonumber(ARGV[1]), ARGV[2]
local now = now_ms()
local moved = 0

local function give_to_others(fields)
  local ok, event = pcall(cjson.decode, fields.body)
  if not ok or type(event) ~= 'table' or type(event.userId) ~= 'string' then return false end
  local frame = {conversation = fields.conversation, seq = fields.seq, kind = fields.kind, body = fields.body}
  local given = false
  for _, socket in ipairs(redis.call('SMEMBERS', K.sockets .. fields.conversation)) do
    local gateway = redis.call('HGET', K.socket .. socket, 'gateway')
    if gateway and not is_gateway_stale(gateway, now) then
      given = push_frame(socket, event.userId, frame) and socket or given
    end
  end
  if given then
    record_event(tostring(event.messageId), fields.kind == 'response' and 'sent' or 'told', 'subscriber', 'channel', 'web',
      'seq', fields.seq, 'provider', given)
  end
  return given ~= false
end

-- The frames of an inbox, each with its id, and by conversation the numbers among them.
local function read(inbox)
  local frames, numbers = {}, {}
  for _, entry in ipairs(redis.call('XRANGE', inbox, '-', '+', 'COUNT', most)) do
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

-- Whether nothing later of its conversation has gone to a living socket: it would come after that.
local function is_in_order(fields, numbers)
  local seq = tonumber(fields.seq)
  if seq == 0 then return true end
  local routed = tonumber(redis.call('HGET', K.conversation .. fields.conversation, 'routed') or 0)
  for later = seq + 1, routed do
    if not numbers[fields.conversation][later] then return false end
  end
  return true
end

local gateways = redis.call('HGETALL', K.gateways)
for i = 1, #gateways, 2 do
  local inbox = K.inbox .. gateways[i]
  if is_gateway_stale(gateways[i], now) and redis.call('EXISTS', inbox) == 1 then
    local frames, numbers = read(inbox)
    for _, fields in ipairs(frames) do
      if is_in_order(fields, numbers) and give_to_others(fields) then
        redis.call('XDEL', inbox, fields.id)
        redis.call('XADD', inbox, '*', 'socket', fields.socket, 'conversation', fields.conversation,
          'seq', fields.seq, 'kind', 'moved', 'body', '')
        moved = moved + 1
      end
    end
    -- Emptied, not deleted: a gateway that comes back all the same can tell by what was added.
    if now - tonumber(gateways[i + 1]) > gone_after then redis.call('XTRIM', inbox, 'MAXLEN', 0) end
  end
end
return moved
