-- RESOLVE_CONVERSATION: the conversation of a customer who is known by several addresses.
--
--   msgctl:alias:ID        STRING  the conversation that the customer with this address has instead of ID
--   msgctl:aliases:C       SET     the ids that lead to conversation C, so that all of them live as long as C
--   msgctl:conversation:C  HASH    {user, …}: exists if C has begun
--
-- Each address of the customer has an id, which is also the id of the conversation that begins under it. Of the
-- conversations that the addresses lead to, the one that was used last goes on; if none has begun, that of the first
-- address. From then on all addresses lead to it.
--
-- ARGV: TTL of an alias in ms, then the id of each address.
-- Returns the conversation.
local ttl = tonumber(ARGV[1])
local MAX_HOPS = 8

local function follow(id)
  local found = id
  for _ = 1, MAX_HOPS do
    local following = redis.call('GET', K.alias .. found)
    if not following or following == id then break end
    found = following
  end
  return found
end

local found = {}
local chosen, longest = follow(ARGV[2]), -1
for i = 2, #ARGV do
  local conversation = follow(ARGV[i])
  local left = redis.call('PTTL', K.conversation .. conversation)
  if left > longest then chosen, longest = conversation, left end
  found[#found + 1] = ARGV[i]
  found[#found + 1] = conversation
end

local members = K.aliases .. chosen
for _, id in ipairs(found) do
  if id ~= chosen then
    for _, earlier in ipairs(redis.call('SMEMBERS', K.aliases .. id)) do redis.call('SADD', members, earlier) end
    redis.call('DEL', K.aliases .. id)
    redis.call('SADD', members, id)
  end
end
redis.call('SREM', members, chosen)
local all = redis.call('SMEMBERS', members)
if #all == 0 then return chosen end
redis.call('DEL', K.alias .. chosen)
for _, id in ipairs(all) do redis.call('SET', K.alias .. id, chosen, 'PX', ttl) end
redis.call('PEXPIRE', members, ttl)
return chosen
