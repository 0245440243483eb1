-- RATE_LIMIT: take one request from the bucket of a user, which holds one minute and fills evenly (GCRA).
--
--   msgctl:quota:U  STRING  the millisecond at which the bucket is full again; the key expires then
--
-- A repeated call takes two requests, so the user loses one.
-- ARGV: user, requests a minute. Returns {1 or 0, requests left, milliseconds until the next one, until full}.
local key, interval = K.quota .. ARGV[1], 60000 / tonumber(ARGV[2])
local now = now_ms()
local paid = math.max(now, tonumber(redis.call('GET', key) or 0))
local due = paid + interval
if due - now > 60000 then return {0, 0, math.ceil(due - now - 60000), math.ceil(paid - now)} end
redis.call('SET', key, string.format('%.3f', due), 'PX', math.ceil(due - now))
return {1, math.floor((60000 - (due - now)) / interval), 0, math.ceil(due - now)}
