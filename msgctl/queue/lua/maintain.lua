-- MAINTAIN: the work that some worker does for all of them each second.
--   PROMOTE: delayed messages whose time has come go back to their queues.
--   REAP:    messages whose lease expired lost their worker; this counts as a crash, not as an attempt.
--   EXPIRE:  ids of expired jobs leave the registries.
--   TRIM:    the ledger is cut to its limit; events that are cut before PostgreSQL has them are counted.
--
--   rq:scheduled:messages:P           ZSET  due by second
--   msgctl:leases                     ZSET  ended by millisecond
--   rq:finished|failed:messages:P     ZSET  expired by second
--   rq:queue:messages:quarantine      LIST  messages that reached the limit of crashes
--   msgctl:tended                     HASH  {at, grace}: see below
--
-- If maintenance has not run for 3 s, Redis or all workers were down, and no worker could renew its leases either.
-- So reaping begins after 3 s of grace, in which the live workers renew them.
--
-- ARGV: most messages to move, crashes before the quarantine, TTL of a dead letter in ms, error JSON of a crash,
--       events the ledger may keep.
-- Returns {promoted, reaped, dead-lettered, messages in quarantine that may be claimed}.
local limit, max_crashes, failed_ttl, crash_error = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local MAX_INTERVAL, GRACE = 3000, 3000  -- milliseconds
local now = now_ms()

local previous = redis.call('HMGET', K.tended, 'at', 'grace')
local grace = tonumber(previous[2] or 0)
if now - tonumber(previous[1] or 0) > MAX_INTERVAL then grace = now + GRACE end
redis.call('HSET', K.tended, 'at', now, 'grace', grace)

local promoted, reaped, dead_lettered = 0, 0, 0

for priority = 1, 10 do
  local queue = K.queue .. priority
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', K.rq_scheduled .. queue, '-inf', now / 1000, 'LIMIT', 0, limit)) do
    redis.call('ZREM', K.rq_scheduled .. queue, id)
    local fields = read_job(id, 'status', 'origin')
    if fields[1] == 'scheduled' and fields[2] then
      make_ready(id, now, true)
      record_event(id, 'queued', 'promoter')
      promoted = promoted + 1
    end
  end
  redis.call('ZREMRANGEBYSCORE', K.rq_finished .. queue, '-inf', '(' .. math.floor(now / 1000))
  redis.call('ZREMRANGEBYSCORE', K.rq_failed .. queue, '-inf', '(' .. math.floor(now / 1000))
end

local function encode_failure(id)
  local fields = redis.call('HMGET', K.rq_job .. id, K.field_message)
  local readable, message = pcall(cjson.decode, fields[1])
  if not readable or type(message) ~= 'table' then message = {} end
  return cjson.encode({messageId = id, conversationId = message.conversationId, userId = message.userId,
    channel = message.channel, channelMetadata = message.channelMetadata or nil, code = 'worker_crashed',
    timestamp = iso(now)})
end

-- Store the record of a run whose worker was lost, in the format of a failed run.
local function record_crash(id, run, started_s)
  local record = {class = 'crash', code = 'worker_crashed', text = 'The worker that ran it was lost.',
    run = tonumber(run), at = iso(now)}
  if started_s then record.startedAt, record.ms = iso(started_s * 1000), now - math.floor(started_s * 1000) end
  redis.call('HSET', K.rq_job .. id, K.field_crash .. run, cjson.encode(record), K.field_holds, 0)
end

local expired = {}
if now >= grace then expired = redis.call('ZRANGEBYSCORE', K.leases, '-inf', now, 'LIMIT', 0, limit) end
for _, member in ipairs(expired) do
  local id, run = string.match(member, '^(.+):(%d+)$')
  local fields = read_job(id, 'origin', 'worker_name')
  if not fields[1] then  -- its hash was deleted: release what is left of the run
    local worker = redis.call('HGET', K.rq_execution .. member, 'worker_name')
    for priority = 1, 10 do release_lease(id, run, K.queue .. priority, worker or '') end
    record_event(id, 'vanished', worker or '', 'run', run, 'code', 'hash_gone')
  else
    local started_s = tonumber(redis.call('HGET', K.rq_execution .. member, 'created_at') or nil)
    release_lease(id, run, fields[1], fields[2])
    record_crash(id, run, started_s)
    local crashes = redis.call('HINCRBY', K.rq_job .. id, K.field_crashes, 1)
    record_event(id, 'crashed', fields[2] or '', 'run', run, 'crashes', crashes)
    reaped = reaped + 1
    if crashes > max_crashes then
      redis.call('HSET', K.rq_job .. id, K.field_error, crash_error)
      dead_letter(id, now, failed_ttl, encode_failure(id), 'reaper', 'worker_crashed')
      dead_lettered = dead_lettered + 1
    elseif crashes == max_crashes then
      quarantine_message(id, now)
    else
      make_ready(id, now, true)
    end
  end
end

local trimmed = redis.call('XTRIM', K.events, 'MAXLEN', '~', ARGV[5])
if trimmed > 0 then
  local first = redis.call('XRANGE', K.events, '-', '+', 'COUNT', 1)[1]
  local projected = redis.call('GET', K.events_projected) or '0-0'
  if first and is_later_entry(first[1], projected) then redis.call('INCRBY', K.events_lost, trimmed) end
end
local suspended = redis.call('EXISTS', K.rq_suspended) == 1
return {promoted, reaped, dead_lettered, suspended and 0 or redis.call('LLEN', K.rq_queue .. K.quarantine)}
