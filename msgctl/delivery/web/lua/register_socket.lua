-- ENROLL: a socket is open, and gets what is said in these conversations. Neither outlives its gateway's care.
--
--   msgctl:socket:ID       HASH   gateway, user
--   msgctl:sockets:CONV    SET    the sockets that joined a conversation
--
-- ARGV: socket, gateway, user (empty: the socket is known already), ms of its life, ms of a conversation's, then
-- conversations.   Safe to send twice.
local socket = ARGV[1]
if ARGV[3] ~= '' then
  redis.call('HSET', K.socket .. socket, 'gateway', ARGV[2], 'user', ARGV[3])
  redis.call('PEXPIRE', K.socket .. socket, ARGV[4])
end
for i = 6, #ARGV do
  redis.call('SADD', K.sockets .. ARGV[i], socket)
  redis.call('PEXPIRE', K.sockets .. ARGV[i], ARGV[5])
end
