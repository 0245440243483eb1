-- OCCUPY: let one more socket in, if its user and its address hold fewer than they may, at all gateways together.
--
--   msgctl:occupants:user:U, :address:A  HASH  gateway → sockets it holds for them
--   msgctl:gateways                      HASH  gateway → the millisecond of its last sign of life
--
-- A gateway writes how many it holds, not one more or less: safe to send twice. What a silent gateway held is dropped.
-- ARGV: gateway, milliseconds of silence, of a key's life, then for each holder: name, bound, sockets held here.
-- Returns the number of the holder that has too many (nothing is written then), or 0.
local gateway, silence, life, now = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), now_ms()

local function held_elsewhere(key)
  local total, entries = 0, redis.call('HGETALL', key)
  for i = 1, #entries, 2 do
    local seen = tonumber(redis.call('HGET', K.gateways, entries[i]) or 0)
    if now - seen > silence then
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
  redis.call('PEXPIRE', K.occupants .. ARGV[i], life)
end
return 0
