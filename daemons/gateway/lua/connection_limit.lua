-- CONNECTION_LIMIT: register one more socket, if its user and its address are below their limits on all gateways.
--
--   msgctl:occupants:user:U, :address:A  HASH  gateway → its open sockets for them
--   msgctl:gateways                      HASH  gateway → the millisecond of its last heartbeat
--
-- A gateway writes its total and not a difference, so the call may be repeated. Counts of dead gateways are deleted.
-- ARGV: gateway, heartbeat timeout in ms, TTL of a counter in ms, then for each holder: name, limit, sockets here.
-- Returns the number of the holder that is over its limit (then nothing is written), or 0.
local gateway, heartbeat_timeout, ttl, now = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), now_ms()

local function held_elsewhere(key)
  local total, entries = 0, redis.call('HGETALL', key)
  for i = 1, #entries, 2 do
    local seen = tonumber(redis.call('HGET', K.gateways, entries[i]) or 0)
    if now - seen > heartbeat_timeout then
      redis.call('HDEL', key, entries[i])
    elseif entries[i] ~= gateway then
      total = total + tonumber(entries[i + 1])
    end
  end
  return total
end

for i = 4, #ARGV, 3 do
  if held_elsewhere(K.occupants .. ARGV[i]) + tonumber(ARGV[i + 2]) > tonumber(ARGV[i + 1]) then return (i - 1) / 3 end
end
for i = 4, #ARGV, 3 do
  redis.call('HSET', K.occupants .. ARGV[i], gateway, ARGV[i + 2])
  redis.call('PEXPIRE', K.occupants .. ARGV[i], ttl)
end
return 0
