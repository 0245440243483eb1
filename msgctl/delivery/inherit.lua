-- INHERIT: what waits for the sockets of a gateway that fell silent goes to where their users have come back.
--
-- Between a gateway's death and the moment it counts as silent, frames go into its inbox. Whoever has come back
-- meanwhile, by `resume` at another gateway, has not got them.
--
--   msgctl:gateways          HASH    when each gateway last showed that it lives
--   msgctl:inbox:GATEWAY     STREAM  loses what others are given; all of it once its sockets have expired
--   msgctl:sockets:C         SET     the sockets that joined the conversation
--
-- ARGV: ms after which the sockets of a silent gateway are gone, most frames to look at, frames an inbox may hold,
--       TTL of an inbox in ms.
-- Safe to send twice, and by several at once. Returns how many frames went elsewhere.
local gone_after, most, inbox_length, inbox_ttl = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local now = now_ms()
local moved = 0

local function give_to_others(fields)
  local ok, event = pcall(cjson.decode, fields.body)
  if not ok or type(event) ~= 'table' or type(event.userId) ~= 'string' then return false end
  local frame = {conversation = fields.conversation, seq = fields.seq, kind = fields.kind, body = fields.body,
    inbox_length = inbox_length, inbox_ttl = inbox_ttl}
  local given = false
  for _, socket in ipairs(redis.call('SMEMBERS', K.sockets .. fields.conversation)) do
    local gateway = redis.call('HGET', K.socket .. socket, 'gateway')
    if gateway and not is_silent(gateway, now) then
      given = push_frame(socket, event.userId, frame) and true or given
    end
  end
  return given
end

local gateways = redis.call('HGETALL', K.gateways)
for i = 1, #gateways, 2 do
  local inbox = K.inbox .. gateways[i]
  if is_silent(gateways[i], now) and redis.call('EXISTS', inbox) == 1 then
    for _, entry in ipairs(redis.call('XRANGE', inbox, '-', '+', 'COUNT', most)) do
      local fields = {}
      for k = 1, #entry[2], 2 do fields[entry[2][k]] = entry[2][k + 1] end
      if give_to_others(fields) then
        redis.call('XDEL', inbox, entry[1])
        moved = moved + 1
      end
    end
    if now - tonumber(gateways[i + 1]) > gone_after then redis.call('DEL', inbox) end
  end
end
return moved
