-- What several scripts need. `K` holds the names of msgctl/contracts.py in lower case.
-- The clock is Redis's own, so that no host's wrong clock can end a lease.

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- The ledger: one event of one message, in the same step as the transition it tells of. Its time is its stream id.
--   what  accepted queued claimed committed failed held crashed quarantined buried replayed handed_back parked
--         removed vanished edited, and of its delivery: adopted sending part_sent postponed paced channel_closed due
--         recovered sent delivery_failed unknown kept told receipt
--   by    who did it: the name of a worker or subscriber, or what kind of program or person
--   ...   evidence as names and values. Never the text of a message, a phone number or a token.
local function note(id, what, by, ...)
  redis.call('XADD', K.events, 'MAXLEN', '~', K.events_limit, '*', 'id', id, 'what', what, 'by', by, ...)
end

-- Give a response the next number of its conversation: into the stream, and among the replies that can be had again.
-- `draft` is a JSON object without its closing brace: number and stream entry are known only here.
-- `hand_over` may deliver it: from number and body to how many sockets it reached, or nil, and the subscriber does.
-- Returns number, entry, the whole response, and what `hand_over` said.
local function number_response(conversation, channel, draft, keep, ttl_ms, hand_over)
  local key, replies = K.conversation .. conversation, K.replies .. conversation
  local seq = redis.call('HINCRBY', key, 'seq', 1)
  local stored = draft .. ',"seq":' .. seq
  local fields = {'kind', 'response', 'channel', channel, 'body', stored .. '}'}
  local reached = hand_over and hand_over(seq, stored .. '}')
  if reached then fields[7], fields[8] = 'reached', reached end
  local entry = redis.call('XADD', K.responses, '*', unpack(fields))
  local complete = stored .. ',"streamId":"' .. entry .. '"}'
  redis.call('ZADD', replies, seq, complete)
  if seq > keep then
    redis.call('ZREMRANGEBYSCORE', replies, '-inf', seq - keep)
    redis.call('HSET', key, 'floor', seq - keep)
  end
  redis.call('PEXPIRE', replies, ttl_ms)
  redis.call('PEXPIRE', key, ttl_ms)
  return seq, entry, complete, reached
end

-- RQ's date format, from Unix milliseconds (civil-from-days, H. Hinnant's algorithm; Lua in Redis has no os.date).
local function iso(ms)
  local seconds = math.floor(ms / 1000)
  local days = math.floor(seconds / 86400)
  local rest = seconds - days * 86400
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local day = doy - math.floor((153 * mp + 2) / 5) + 1
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03d000Z', year, month, day,
    math.floor(rest / 3600), math.floor(rest % 3600 / 60), rest % 60, ms % 1000)
end

-- Whether what has this owner exists for a user; msgctl/ownership.py decides the same where nothing is written.
local function belongs(owner, user)
  return owner == user
end

-- Fields of a job hash; none where another program has put something else under its name.
local function read_job(id, ...)
  local fields = redis.pcall('HMGET', K.rq_job .. id, ...)
  return fields.err and {} or fields
end

-- Wake one idle worker that is alive; it blocks on its own list, so a token is never lost between two looks.
local function wake()
  local worker = redis.call('SPOP', K.idle_workers)
  while worker do
    if redis.call('EXISTS', K.rq_worker .. worker) == 1 then
      redis.call('LPUSH', K.wake .. worker, '1')
      redis.call('EXPIRE', K.wake .. worker, 60)
      return
    end
    worker = redis.call('SPOP', K.idle_workers)
  end
end

-- Put a message where a worker finds it: at the end of its queue, or at the front if it has been there before.
-- At the front it counts as waiting as long as those behind it, lest it hide how long they have.
local function make_ready(id, now, front)
  local job = K.rq_job .. id
  local fields = redis.call('HMGET', job, 'origin', K.field_quarantined)
  local ready = now
  local behind = front and not fields[2] and redis.call('LINDEX', K.rq_queue .. fields[1], 0)
  if behind then ready = math.min(now, tonumber(read_job(behind, K.field_ready)[1]) or now) end
  redis.call('HSET', job, 'status', 'queued', 'enqueued_at', iso(now), K.field_ready, ready)
  if fields[2] then
    redis.call('RPUSH', K.rq_queue .. K.quarantine, id)
    return
  end
  redis.call(front and 'LPUSH' or 'RPUSH', K.rq_queue .. fields[1], id)
  wake()
end

-- A message that may have killed its workers waits apart from now on, still the head of its conversation.
local function quarantine(id, now)
  redis.call('HSET', K.rq_job .. id, K.field_quarantined, 1)
  note(id, 'quarantined', 'reaper')
  redis.call('SADD', K.rq_queues, K.rq_queue .. K.quarantine)
  make_ready(id, now, false)
end

-- A message leaves its conversation for good: the next one, if any, comes into play.
local function advance(conversation, id, now)
  local mailbox = K.mailbox .. conversation
  redis.call('LREM', mailbox, 1, id)
  local head = redis.call('LINDEX', mailbox, 0)
  while head do
    local job = read_job(head, 'status', 'origin')
    if job[1] == 'deferred' then
      redis.call('ZREM', K.rq_deferred .. job[2], head)
      make_ready(head, now, false)
      note(head, 'queued', 'conversation', 'after', id)
      return
    end
    if job[1] then return end  -- it is in play already
    redis.call('LPOP', mailbox)
    note(head, 'vanished', 'conversation', 'code', 'hash_gone')  -- nothing can be worked
    head = redis.call('LINDEX', mailbox, 0)
  end
end

-- Whether this run of a message still holds its lease; without one, nothing may be written.
local function holds_lease(id, run)
  return redis.call('ZSCORE', K.leases, id .. ':' .. run) ~= false
end

-- Tell observers, if there are any, of each step that a message has passed. `event` is JSON up to the number.
local function tell_progress(event, passed)
  for progress in string.gmatch(passed, '%d+') do
    if redis.call('PUBLISH', K.progress_channel, event .. progress .. '}') == 0 then return end
  end
end

-- Write something of a worker, unless it is gone: a dead worker's hash must not come back without its TTL.
local function note_worker(worker, command, field, value)
  local key = K.rq_worker .. worker
  if redis.call('EXISTS', key) == 1 then redis.call(command, key, field, value) end
end

-- Take a run out of every place that shows it as running.
local function release(id, run, origin, worker)
  local member = id .. ':' .. run
  redis.call('ZREM', K.leases, member)
  redis.call('ZREM', K.rq_wip .. origin, member)
  redis.call('DEL', K.rq_execution .. member, K.rq_executions .. id)
  local executions = K.rq_worker .. worker .. K.rq_worker_executions
  redis.call('SREM', executions, member)
  if redis.call('EXISTS', executions) == 0 then note_worker(worker, 'HSET', 'state', 'idle') end
end

-- A message that is over is forgotten after a while; so is its client's key for it, but not before its identity.
local function expire(id, ttl_ms, key)
  redis.call('PEXPIRE', K.rq_job .. id, ttl_ms)
  if key then redis.call('PEXPIRE', key, math.max(ttl_ms, redis.call('PTTL', K.identity .. id))) end
end

-- What has no number and is for the sockets of a conversation stands before the replies that are committed later:
-- until it is routed, COMMIT hands none of them over.
local function stand_before(conversation, entry)
  local key = K.conversation .. conversation
  if redis.call('EXISTS', key) == 1 then redis.pcall('HSET', key, 'untold', entry) end
end

-- Dead letter: failed for RQ, out of its conversation, and its sender is told through the durable stream.
local function bury(id, now, ttl_ms, failure, by, code)
  local job = K.rq_job .. id
  note(id, 'buried', by, 'code', code)
  local fields = redis.call('HMGET', job, 'origin', K.field_conversation, K.field_channel, K.field_key)
  redis.call('HSET', job, 'status', 'failed', 'ended_at', iso(now), K.field_finished, now)
  expire(id, ttl_ms, fields[4])
  redis.call('ZADD', K.rq_failed .. fields[1], math.floor((now + ttl_ms) / 1000), id)
  local entry = redis.call('XADD', K.responses, '*', 'kind', 'failure', 'channel', fields[3], 'body', failure)
  if fields[3] == 'web' then stand_before(fields[2] or '', entry) end
  advance(fields[2], id, now)
end

-- Whether one stream id lies behind another.
local function is_after(one, other)
  local ms, n = string.match(one, '^(%d+)-(%d+)$')
  local other_ms, other_n = string.match(other, '^(%d+)-(%d+)$')
  if ms == other_ms then return tonumber(n) > tonumber(other_n) end
  return tonumber(ms) > tonumber(other_ms)
end

-- What Redis knows of the consumer group of the responses, or nil if there is none.
local function delivery_group()
  if redis.call('EXISTS', K.responses) == 0 then return nil end
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', K.responses)) do
    local facts = {}
    for i = 1, #group, 2 do facts[group[i]] = group[i + 1] end
    if facts.name == K.responses_group then return facts end
  end
end

-- Whether a channel of delivery is paused or broken; and if it is neither, whether it is only being tried.
local function channel_closed(channel, now)
  local found = redis.call('HMGET', K.channel_state .. channel, 'pausedAt', 'openUntil')
  local open_until = tonumber(found[2] or 0)
  return found[1] ~= false or open_until > now, open_until > 0
end

-- Its provider has answered: the breaker of a channel closes.
local function channel_works(channel)
  if not channel or redis.call('HEXISTS', K.channel_state .. channel, 'streak') == 0 then return end
  redis.call('HDEL', K.channel_state .. channel, 'streak', 'openings', 'openUntil')
  redis.call('DEL', K.channel_state .. channel .. K.channel_probe)
end

-- Give a socket a frame, by the inbox of its gateway. Returns that gateway, or nil if the socket is gone or another
-- user's; and whether it is gone.
local function push_frame(socket, user, frame)
  local held = redis.call('HMGET', K.socket .. socket, 'gateway', 'user')
  if not held[1] then return nil, true end
  if user and not belongs(held[2], user) then return nil, false end
  local inbox = K.inbox .. held[1]
  redis.call('XADD', inbox, 'MAXLEN', '~', K.inbox_limit, '*', 'socket', socket,
    'conversation', frame.conversation, 'seq', frame.seq, 'kind', frame.kind, 'body', frame.body)
  redis.call('PEXPIRE', inbox, K.inbox_ttl)
  return held[1], false
end

-- A web response was handed on, to a socket, or to its keeping until one comes back: its delivery is over.
local function record_web(message, socket, seq, by, now, ttl_ms)
  redis.call('HSET', K.delivery .. message, 'state', socket and 'SENT' or 'KEPT', 'channel', 'web', 'attempts', 1,
    'createdAt', now, 'endedAt', now, 'providerId', socket or '')
  redis.call('PEXPIRE', K.delivery .. message, ttl_ms)
  note(message, socket and 'sent' or 'kept', by, 'channel', 'web', 'seq', seq, 'provider', socket or '')
end

-- Whether a gateway that beats each second has not done so for a while: it is dead, frozen or cut off.
local function is_silent(gateway, now)
  local seen = redis.call('HGET', K.gateways, gateway)
  return seen and now - tonumber(seen) > 5000
end
