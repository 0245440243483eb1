-- POSTPONE: a delivery is not to be made now. It leaves the stream and comes back when it is due.
--
-- Were it left pending instead, it would hold back the trimming of everything behind it, and others would take
-- it for the work of a subscriber that fell silent.
--
--   msgctl:responses     STREAM  acknowledged; the gate, so that this happens once an entry
--   msgctl:delivery:ID   HASH    NEW again (or UNKNOWN, to be resolved), and keeps the body until TEND puts it back;
--                                paced: it was not its turn once
--   msgctl:postponed     ZSET    by the millisecond it is due
--   msgctl:held:CHANNEL  ZSET    instead, for a channel that is paused or broken; oldest first
--
-- ARGV: id, its stream entry, token of the try ('': none was begun), ms from now or (negative) the ms it is due,
--       channel, body, code, text ('': nothing failed), TTL of the record in ms, beyond the pause,
--       state it gets (NEW, UNKNOWN), 1 to hold it for its channel, 1 if the try is not charged (and counts as a wait).
-- A try that another subscriber has taken over is left to that one.
-- Safe to send twice. Returns 1 if this run did it.
local id, entry, token, pause, channel, body = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
local code, ttl, target, hold, free = ARGV[7], tonumber(ARGV[9]), ARGV[10], ARGV[11] == '1', ARGV[12] == '1'
local HELD_FOR = 2592000000
local key = K.delivery .. id
local record = redis.call('HMGET', key, 'state', 'token', 'resolver', 'endedAt')
local state = record[1] or 'NEW'
local is_sending = state == 'SENDING' and record[2] == token
local is_resolving = state == 'UNKNOWN' and record[3] == token and not record[4]
if state ~= 'NEW' and not is_sending and not is_resolving then return 0 end
if redis.call('XACK', K.responses, K.responses_group, entry) == 0 then return 0 end
local now = now_ms()
local due = pause < 0 and -pause or now + pause
redis.call('HSETNX', key, 'createdAt', now)
redis.call('HSET', key, 'state', is_resolving and 'UNKNOWN' or target, 'channel', channel, 'body', body)
if free and is_sending then
  redis.call('HINCRBY', key, 'attempts', -1)
  redis.call('HINCRBY', key, 'waits', 1)
end
if code ~= '' then
  redis.call('HSET', key, 'code', code, 'text', ARGV[8])
  if target == 'UNKNOWN' and is_sending then
    record_event(id, 'unknown', 'subscriber', 'code', code, 'again_ms', due - now)
  else
    record_event(id, 'postponed', 'subscriber', 'code', code, 'again_ms', due - now)
  end
elseif not hold and redis.call('HSETNX', key, 'paced', 1) == 1 then  -- told once, however often it is not its turn
  record_event(id, 'paced', 'subscriber', 'channel', channel, 'again_ms', due - now)
end
if hold then
  record_event(id, 'channel_closed', 'subscriber', 'channel', channel)
  redis.call('PEXPIRE', key, math.max(ttl, HELD_FOR))
  redis.call('ZADD', K.held .. channel, tonumber(string.match(entry, '^%d+')), id)
else
  redis.call('PEXPIRE', key, ttl + math.max(0, due - now))
  redis.call('ZADD', K.postponed, due, id)
end
return 1
