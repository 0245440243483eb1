-- LIBRARY: functions of web delivery: frames for sockets, through the inbox of their gateway.

-- Whether a gateway that beats each second has not done so for a while: it is dead, frozen or cut off.
local function is_gateway_stale(gateway, now)
  local seen = redis.call('HGET', K.gateways, gateway)
  return seen and now - tonumber(seen) > 5000
end

-- Give a socket a frame, by the inbox of its gateway. Returns that gateway, or nil if the socket is gone or another
-- user's; and whether it is gone.
local function push_frame(socket, user, frame)
  local held = redis.call('HMGET', K.socket .. socket, 'gateway', 'user')
  if not held[1] then return nil, true end
  if user and not is_owner(held[2], user) then return nil, false end
  local inbox = K.inbox .. held[1]
  redis.call('XADD', inbox, 'MAXLEN', '~', K.inbox_limit, '*', 'socket', socket,
    'conversation', frame.conversation, 'seq', frame.seq, 'kind', frame.kind, 'body', frame.body)
  redis.call('PEXPIRE', inbox, K.inbox_ttl)
  return held[1], false
end

-- A web response was handed on, to a socket, or to its keeping until one comes back: its delivery is over.
local function record_web_delivery(message, socket, seq, by, now, ttl_ms)
  redis.call('HSET', K.delivery .. message, 'state', socket and 'SENT' or 'KEPT', 'channel', 'web', 'attempts', 1,
    'createdAt', now, 'endedAt', now, 'providerId', socket or '')
  redis.call('PEXPIRE', K.delivery .. message, ttl_ms)
  record_event(message, socket and 'sent' or 'kept', by, 'channel', 'web', 'seq', seq, 'provider', socket or '')
end
