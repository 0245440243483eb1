-- TEND: what any worker does for all of them, each second.
--   PROMOTE: messages whose pause is over go back to their queues.
--   REAP:    messages whose lease ran out lost their worker; a crash is counted, not an attempt.
--   EXPIRE:  ids of what has expired leave the registries.
--   TRIM:    the ledger keeps its bound; what PostgreSQL does not have yet and goes all the same is counted.
--
--   rq:scheduled:messages:P           ZSET  due by second
--   msgctl:leases                     ZSET  ended by millisecond
--   rq:finished|failed:messages:P     ZSET  expired by second
--   rq:queue:messages:quarantine      LIST  messages that crashed as often as they may among others
--   msgctl:tended                     HASH  {at, grace}: see below
--
-- When nobody has tended for a while, Redis or all workers were away, and nobody could renew a lease either.
-- So reaping begins only after a moment of grace, in which those who live can say so.
--
-- ARGV: most messages to move, crashes before the quarantine, TTL of a dead letter in ms, error JSON of a crash,
--       events the ledger may keep.
-- Returns {promoted, reaped, buried, messages in quarantine that may be worked}.
local most, max_crashes, failed_ttl, error = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local SILENCE, GRACE = 3000, 3000  -- milliseconds
local now = now_ms()

local tended = redis.call('HMGET', K.tended, 'at', 'grace')
local grace = tonumber(tended[2] or 0)
if now - tonumber(tended[1] or 0) > SILENCE then grace = now + GRACE end
redis.call('HSET', K.tended, 'at', now, 'grace', grace)

local promoted, reaped, buried = 0, 0, 0

for priority = 1, 10 do
  local queue = K.queue .. priority
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', K.rq_scheduled .. queue, '-inf', now / 1000, 'LIMIT', 0, most)) do
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

local function failure(id)
  local fields = redis.call('HMGET', K.rq_job .. id, K.field_message)
  local readable, message = pcall(cjson.decode, fields[1])
  if not readable or type(message) ~= 'table' then message = {} end
  return cjson.encode({messageId = id, conversationId = message.conversationId, userId = message.userId,
    channel = message.channel, channelMetadata = message.channelMetadata or nil, code = 'worker_crashed',
    timestamp = iso(now)})
end

-- What is kept of a run whose worker was lost, as of one that failed.
local function record_crash(id, run, since)
  local record = {class = 'crash', code = 'worker_crashed', text = 'The worker that ran it was lost.',
    run = tonumber(run), at = iso(now)}
  if since then record.startedAt, record.ms = iso(since * 1000), now - math.floor(since * 1000) end
  redis.call('HSET', K.rq_job .. id, K.field_crash .. run, cjson.encode(record), K.field_holds, 0)
end

local ended = {}
if now >= grace then ended = redis.call('ZRANGEBYSCORE', K.leases, '-inf', now, 'LIMIT', 0, most) end
for _, member in ipairs(ended) do
  local id, run = string.match(member, '^(.+):(%d+)$')
  local fields = read_job(id, 'origin', 'worker_name')
  if not fields[1] then  -- its hash was deleted: only the traces of this run are left
    local worker = redis.call('HGET', K.rq_execution .. member, 'worker_name')
    for priority = 1, 10 do release_lease(id, run, K.queue .. priority, worker or '') end
    record_event(id, 'vanished', worker or '', 'run', run, 'code', 'hash_gone')
  else
    local since = tonumber(redis.call('HGET', K.rq_execution .. member, 'created_at') or nil)
    release_lease(id, run, fields[1], fields[2])
    record_crash(id, run, since)
    local crashes = redis.call('HINCRBY', K.rq_job .. id, K.field_crashes, 1)
    record_event(id, 'crashed', fields[2] or '', 'run', run, 'crashes', crashes)
    reaped = reaped + 1
    if crashes > max_crashes then
      redis.call('HSET', K.rq_job .. id, K.field_error, error)
      dead_letter(id, now, failed_ttl, failure(id), 'reaper', 'worker_crashed')
      buried = buried + 1
    elseif crashes == max_crashes then
      quarantine_message(id, now)
    else
      make_ready(id, now, true)
    end
  end
end

local cut = redis.call('XTRIM', K.events, 'MAXLEN', '~', ARGV[5])
if cut > 0 then
  local first = redis.call('XRANGE', K.events, '-', '+', 'COUNT', 1)[1]
  local projected = redis.call('GET', K.events_projected) or '0-0'
  if first and is_later_entry(first[1], projected) then redis.call('INCRBY', K.events_lost, cut) end
end
local suspended = redis.call('EXISTS', K.rq_suspended) == 1
return {promoted, reaped, buried, suspended and 0 or redis.call('LLEN', K.rq_queue .. K.quarantine)}
