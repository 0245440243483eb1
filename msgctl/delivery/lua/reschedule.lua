-- Reschedule: postpone a delivery. It leaves the stream and returns when it is due.
--
-- If it stayed pending instead, the entries after it could not be trimmed, and other subscribers would take it over
-- as the work of a dead one.
--
--   msgctl:responses     STREAM  acknowledged; the gate, so that this happens once per entry
--   msgctl:delivery:ID   HASH    NEW again (or UNKNOWN, to be resolved), and keeps the body until maintain_stream puts
--                                it back; paced: it has been postponed before; doubted: this part may have arrived
--   msgctl:postponed     ZSET    by the ms at which it is due
--   msgctl:held:CHANNEL  ZSET    instead, for a paused or broken channel; oldest first
--
-- ARGV: id, its stream entry, token of the attempt ('': none was started), ms from now or (negative) the ms at which
--       it is due, channel, body, code, text ('': nothing failed), TTL of the record in ms, beyond the delay,
--       new state (NEW, UNKNOWN), 1 to hold it for its channel, 1 if the attempt does not count (but as a wait),
--       1 if the next attempt sends this part again although nobody can be sure that this one sent nothing.
-- An attempt that another subscriber has taken over is left to that one.
-- Safe to send twice. Returns 1 if this run did it.
local id, entry, token, delay, channel, body = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
local code, ttl, target = ARGV[7], tonumber(ARGV[9]), ARGV[10]
local hold, uncounted = ARGV[11] == '1', ARGV[12] == '1'
local HELD_TTL_MS = 2592000000
local key = K.delivery .. id
local record = redis.call('HMGET', key, 'state', 'token', 'resolver', 'endedAt')
local state = record[1] or 'NEW'
local is_sending = state == 'SENDING' and record[2] == token
local is_resolving = state == 'UNKNOWN' and record[3] == token and not record[4]
if state ~= 'NEW' and not is_sending and not is_resolving then return 0 end
if redis.call('XACK', K.responses, K.responses_group, entry) == 0 then return 0 end
local now = now_ms()
local due = delay < 0 and -delay or now + delay
redis.call('HSETNX', key, 'createdAt', now)
redis.call('HSET', key, 'state', is_resolving and 'UNKNOWN' or target, 'channel', channel, 'body', body)
if uncounted and is_sending then
  redis.call('HINCRBY', key, 'attempts', -1)
  redis.call('HINCRBY', key, 'waits', 1)
end
if ARGV[13] == '1' and is_sending then redis.call('HINCRBY', key, 'resends', 1) end
if target == 'UNKNOWN' then redis.call('HSET', key, 'doubted', 1) end
if code ~= '' then
  redis.call('HSET', key, 'code', code, 'text', ARGV[8])
  if target == 'UNKNOWN' and is_sending then
    record_event(id, 'unknown', 'subscriber', 'code', code, 'again_ms', due - now)
  else
    record_event(id, 'postponed', 'subscriber', 'code', code, 'again_ms', due - now)
  end
elseif not hold and redis.call('HSETNX', key, 'paced', 1) == 1 then  -- recorded once, however often it is postponed
  record_event(id, 'paced', 'subscriber', 'channel', channel, 'again_ms', due - now)
end
if hold then
  record_event(id, 'channel_closed', 'subscriber', 'channel', channel)
  redis.call('PEXPIRE', key, math.max(ttl, HELD_TTL_MS))
  redis.call('ZADD', K.held .. channel, tonumber(string.match(entry, '^%d+')), id)
else
  redis.call('PEXPIRE', key, ttl + math.max(0, due - now))
  redis.call('ZADD', K.postponed, due, id)
  if target == 'UNKNOWN' and is_sending then resolve_by_early_status(id, key) end
end
return 1
