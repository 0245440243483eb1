-- REPORT: what calling one workflow came to, from one worker; opens its breaker, or closes it.
--
--   msgctl:breaker:W   HASH  streak: failures in a row; B:good, B:bad: counts of bucket B of the window
--   msgctl:breakers    HASH  W → "openUntilMs openings"; there while the breaker is open or half-open
--
-- ARGV: workflow, successes, failures, failures in a row that open it, share of failures that opens it, calls in
--       the window needed for that, window in ms, first opening in ms, longest opening in ms.
-- Returns the milliseconds it stays open; 0: closed.
local workflow, good, bad = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local max_streak, max_share, least = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local window, first, longest = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local BUCKETS = 6
local key, now = K.breaker .. workflow, now_ms()

local open = redis.call('HGET', K.breakers, workflow)
local until_ms, openings = string.match(open or '0 0', '^(%d+) (%d+)$')
until_ms, openings = tonumber(until_ms), tonumber(openings)

-- While it is open, a success is one of a call that began before; only a probe's closes it.
if good > 0 and open and bad == 0 and until_ms <= now then
  redis.call('HDEL', K.breakers, workflow)
  redis.call('DEL', key, key .. K.breaker_probe)
  return 0
end

-- The successes of a report came before its failure.
if good > 0 then redis.call('HSET', key, 'streak', 0) end
local streak = redis.call('HINCRBY', key, 'streak', bad)

local bucket = math.floor(now / (window / BUCKETS))
redis.call('HINCRBY', key, bucket .. ':good', good)
redis.call('HINCRBY', key, bucket .. ':bad', bad)
redis.call('PEXPIRE', key, window * 2)
local all_good, all_bad, fields = 0, 0, redis.call('HGETALL', key)
for i = 1, #fields, 2 do
  local when, kind = string.match(fields[i], '^(%d+):(%a+)$')
  if when and tonumber(when) <= bucket - BUCKETS then
    redis.call('HDEL', key, fields[i])
  elseif kind == 'good' then all_good = all_good + tonumber(fields[i + 1])
  elseif kind == 'bad' then all_bad = all_bad + tonumber(fields[i + 1]) end
end

if until_ms > now then return until_ms - now end
local calls = all_good + all_bad
local failing = streak >= max_streak or (calls >= least and all_bad / calls >= max_share)
if bad > 0 and (open or failing) then
  until_ms = now + math.min(longest, first * 2 ^ openings)
  redis.call('HSET', K.breakers, workflow, until_ms .. ' ' .. (openings + 1))
  redis.call('DEL', key .. K.breaker_probe)
  return until_ms - now
end
return open and 1 or 0
