-- Deregister subscriber: remove one that exits. Others can take over its pending entries immediately.
--
--   msgctl:subscribers   HASH    loses it
--   msgctl:responses     STREAM  its pending entries count as idle for a day; a consumer without any is deleted
--
-- ARGV: subscriber.   Safe to send twice. Returns how many entries it leaves to the others.
local name = ARGV[1]
redis.call('HDEL', K.subscribers, name)
local ok, pending = pcall(redis.call, 'XPENDING', K.responses, K.responses_group, '-', '+', 100000, name)
if not ok then return 0 end  -- the group does not exist, so nothing is pending
for _, entry in ipairs(pending) do
  redis.call('XCLAIM', K.responses, K.responses_group, name, 0, entry[1], 'IDLE', 86400000, 'JUSTID')
end
if #pending == 0 then redis.call('XGROUP', 'DELCONSUMER', K.responses, K.responses_group, name) end
return #pending
