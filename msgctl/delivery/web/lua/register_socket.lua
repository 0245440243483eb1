-- Register socket: add an open socket, and let it join conversations. Both expire unless their gateway renews them.
--
--   msgctl:socket:ID       HASH   gateway, user
--   msgctl:sockets:CONV    SET    the sockets that joined a conversation
--
-- ARGV: socket, gateway, user (empty: the socket is registered already), TTL of the socket in ms, TTL of a
-- conversation in ms, then conversations.   Safe to send twice.
local socket = ARGV[1]
if ARGV[3] ~= '' then
  redis.call('HSET', K.socket .. socket, 'gateway', ARGV[2], 'user', ARGV[3])
  redis.call('PEXPIRE', K.socket .. socket, ARGV[4])
end
for i = 6, #ARGV do
  redis.call('SADD', K.sockets .. ARGV[i], socket)
  redis.call('PEXPIRE', K.sockets .. ARGV[i], ARGV[5])
end
