-- POSTPONE: a delivery is not to be made now. It leaves the stream and comes back when it is due.
--
-- Were it left pending instead, it would hold back the trimming of everything behind it, and others would take
-- it for the work of a subscriber that fell silent.
--
--   msgctl:responses     STREAM  acknowledged; the gate, so that this happens once an entry
--   msgctl:delivery:ID   HASH    NEW again, and keeps the body until TEND puts it back
--   msgctl:postponed     ZSET    by the millisecond it is due
--
-- ARGV: id, its stream entry, token of the try ('': none was begun), ms from now or (negative) the ms it is due,
--       channel, body, code, text ('': nothing failed), TTL of the record in ms, beyond the pause.
-- A try that another subscriber has taken over is left to that one.
-- Safe to send twice. Returns 1 if this run did it.
local id, entry, token, pause, channel, body = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
local key = K.delivery .. id
local record = redis.call('HMGET', key, 'state', 'token')
if record[1] and record[1] ~= 'NEW' and not (record[1] == 'SENDING' and record[2] == token) then return 0 end
if redis.call('XACK', K.responses, K.responses_group, entry) == 0 then return 0 end
local now = now_ms()
local due = pause < 0 and -pause or now + pause
redis.call('HSETNX', key, 'createdAt', now)
redis.call('HSET', key, 'state', 'NEW', 'channel', channel, 'body', body)
if ARGV[7] ~= '' then
  redis.call('HSET', key, 'code', ARGV[7], 'text', ARGV[8])
  note(id, 'postponed', 'subscriber', 'code', ARGV[7], 'again_ms', due - now)
end
redis.call('PEXPIRE', key, tonumber(ARGV[9]) + math.max(0, due - now))
redis.call('ZADD', K.postponed, due, id)
return 1
