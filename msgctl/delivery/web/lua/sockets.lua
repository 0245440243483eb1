-- LIBRARY: functions of web delivery: frames for sockets, through the inbox of their gateway.

-- Whether a gateway has sent no heartbeat for five seconds: it is dead, frozen or cut off.
local function is_gateway_stale(gateway, now)
  local seen = redis.call('HGET', K.gateways, gateway)
  return seen and now - tonumber(seen) > 5000
end

-- Add a frame for a socket to the inbox of its gateway. Returns that gateway, or nil if the socket is not registered
-- or belongs to another user; and whether it is not registered.
local function push_frame(socket, user, frame)
  local fields = redis.call('HMGET', K.socket .. socket, 'gateway', 'user')
  local gateway, owner = fields[1], fields[2]
  if not gateway then return nil, true end
  if user and not is_owner(owner, user) then return nil, false end
  local inbox = K.inbox .. gateway
  redis.call('XADD', inbox, 'MAXLEN', '~', K.inbox_limit, '*', 'socket', socket,
    'conversation', frame.conversation, 'seq', frame.seq, 'kind', frame.kind, 'body', frame.body)
  redis.call('PEXPIRE', inbox, K.inbox_ttl)
  return gateway, false
end

-- End the delivery of a web response: SENT to a socket, or KEPT until a client resumes.
local function record_web_delivery(message, socket, seq, by, now, ttl_ms)
  redis.call('HSET', K.delivery .. message, 'state', socket and 'SENT' or 'KEPT', 'channel', 'web', 'attempts', 1,
    'createdAt', now, 'endedAt', now, 'providerId', socket or '')
  redis.call('PEXPIRE', K.delivery .. message, ttl_ms)
  record_event(message, socket and 'sent' or 'kept', by, 'channel', 'web', 'seq', seq, 'provider', socket or '')
end
