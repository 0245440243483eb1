-- READ BREAKERS: return the breakers that are not closed.
--
--   msgctl:breakers   HASH  W → "openUntilMs openings"
--
-- Returns W, ms it stays open (0: half-open), W, ms, …
local now, row = now_ms(), {}
local fields = redis.call('HGETALL', K.breakers)
for i = 1, #fields, 2 do
  row[#row + 1] = fields[i]
  row[#row + 1] = math.max(0, tonumber(string.match(fields[i + 1], '^%d+')) - now)
end
return row
