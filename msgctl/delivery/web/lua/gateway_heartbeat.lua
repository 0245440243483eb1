-- BEAT: a gateway lives. By Redis's clock, so that no host's wrong one makes a living gateway look silent.
--
--   msgctl:gateways        HASH    name to the ms of its last sign of life; who has shown none for long leaves
--   msgctl:inbox:GATEWAY   STREAM  stays as long as its gateway does
--
-- ARGV: gateway, ms of silence after which one is no longer listed.   Safe to send twice.
local now = now_ms()
redis.call('HSET', K.gateways, ARGV[1], now)
redis.call('PEXPIRE', K.inbox .. ARGV[1], K.inbox_ttl)
local seen = redis.call('HGETALL', K.gateways)
for i = 1, #seen, 2 do
  if now - tonumber(seen[i + 1]) > tonumber(ARGV[2]) then redis.call('HDEL', K.gateways, seen[i]) end
end
