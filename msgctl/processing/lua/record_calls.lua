-- RECORD CALLS: add a worker's calls of one workflow to its counts, and open or close its breaker.
--
--   msgctl:breaker:W   HASH  streak: failures in a row; B:good, B:bad: counts of bucket B of the window
--   msgctl:breakers    HASH  W → "openUntilMs openings"; exists while the breaker is open or half-open
--
-- ARGV: workflow, successes, failures, failures in a row that open it, share of failures that opens it, calls in
--       the window needed for that, window in ms, first pause in ms, longest pause in ms.
-- Returns the milliseconds it stays open; 0: closed; 1: half-open.
local workflow, successes, failures = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local max_streak, max_share, min_calls = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local window, first_pause, max_pause = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local BUCKETS = 6
local key, now = K.breaker .. workflow, now_ms()

local stored = redis.call('HGET', K.breakers, workflow)
local until_ms, openings = string.match(stored or '0 0', '^(%d+) (%d+)$')
until_ms, openings = tonumber(until_ms), tonumber(openings)

-- A success while it is open belongs to a call that began earlier. Only the success of a probe closes it.
if successes > 0 and stored and failures == 0 and until_ms <= now then
  redis.call('HDEL', K.breakers, workflow)
  redis.call('DEL', key, key .. K.breaker_probe)
  return 0
end

-- Within one report the successes came before the failure.
if successes > 0 then redis.call('HSET', key, 'streak', 0) end
local streak = redis.call('HINCRBY', key, 'streak', failures)

local bucket = math.floor(now / (window / BUCKETS))
redis.call('HINCRBY', key, bucket .. ':good', successes)
redis.call('HINCRBY', key, bucket .. ':bad', failures)
redis.call('PEXPIRE', key, window * 2)
local all_successes, all_failures, fields = 0, 0, redis.call('HGETALL', key)
for i = 1, #fields, 2 do
  local field_bucket, kind = string.match(fields[i], '^(%d+):(%a+)$')
  if field_bucket and tonumber(field_bucket) <= bucket - BUCKETS then
    redis.call('HDEL', key, fields[i])
  elseif kind == 'good' then all_successes = all_successes + tonumber(fields[i + 1])
  elseif kind == 'bad' then all_failures = all_failures + tonumber(fields[i + 1]) end
end

if until_ms > now then return until_ms - now end
local calls = all_successes + all_failures
local must_open = streak >= max_streak or (calls >= min_calls and all_failures / calls >= max_share)
if failures > 0 and (stored or must_open) then
  until_ms = now + math.min(max_pause, first_pause * 2 ^ openings)
  redis.call('HSET', K.breakers, workflow, until_ms .. ' ' .. (openings + 1))
  redis.call('DEL', key .. K.breaker_probe)
  return until_ms - now
end
return stored and 1 or 0
