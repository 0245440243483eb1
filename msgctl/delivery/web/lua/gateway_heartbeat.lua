-- Gateway heartbeat, by the clock of Redis, so that a wrong clock on a host does not make a running gateway look dead.
--
--   msgctl:gateways        HASH    name to the ms of its last heartbeat; loses those without one for long
--   msgctl:inbox:GATEWAY   STREAM  lives as long as its gateway
--
-- ARGV: gateway, ms without heartbeat after which one is no longer listed.   Safe to send twice.
local now = now_ms()
redis.call('HSET', K.gateways, ARGV[1], now)
redis.call('PEXPIRE', K.inbox .. ARGV[1], K.inbox_ttl)
local heartbeats = redis.call('HGETALL', K.gateways)
for i = 1, #heartbeats, 2 do
  if now - tonumber(heartbeats[i + 1]) > tonumber(ARGV[2]) then redis.call('HDEL', K.gateways, heartbeats[i]) end
end
