-- SPEND: take one request out of a user's bucket, which holds a minute's worth and fills evenly (GCRA).
--
--   msgctl:quota:U  STRING  the millisecond at which all requests so far are paid for; gone once that is past
--
-- Sent twice it takes two: the user is short of one request, once.
-- ARGV: user, requests a minute. Returns {1 or 0, requests left, milliseconds until one more is granted, until full}.
local key, interval = K.quota .. ARGV[1], 60000 / tonumber(ARGV[2])
local now = now_ms()
local paid = math.max(now, tonumber(redis.call('GET', key) or 0))
local due = paid + interval
if due - now > 60000 then return {0, 0, math.ceil(due - now - 60000), math.ceil(paid - now)} end
redis.call('SET', key, string.format('%.3f', due), 'PX', math.ceil(due - now))
return {1, math.floor((60000 - (due - now)) / interval), 0, math.ceil(due - now)}
