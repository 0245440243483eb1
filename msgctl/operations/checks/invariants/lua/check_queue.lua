-- EXAMINE QUEUE: is what a queue holds to be claimed from it, and from nowhere else? One slice, seen at one instant.
--
--   rq:queue:Q   LIST  ids against …
--   rq:job:ID    HASH  … what each says of itself; what is over may be left here, the next claim drops it
--
-- ARGV: queue, first and last place in it.   Reads only. Returns how many ids there are, then {id, what is wrong}.
local ELSEWHERE = {started = 'it runs', scheduled = 'it is scheduled', deferred = 'it is held back'}
local queue = ARGV[1]
local ids = redis.call('LRANGE', K.rq_queue .. queue, ARGV[2], ARGV[3])

local found, seen = {#ids}, {}
for _, id in ipairs(ids) do
  local fields = read_job(id, 'status', 'origin', K.field_quarantined, K.field_message)
  local own = fields[3] and K.quarantine or fields[2]
  local fault
  if fields[4] and ELSEWHERE[fields[1]] then
    fault = ELSEWHERE[fields[1]] .. ', and waits in a queue as well'
  elseif fields[4] and fields[1] == 'queued' and own ~= queue then
    fault = 'it waits in ' .. queue .. ' and belongs into ' .. (own or 'none')
  elseif fields[4] and fields[1] == 'queued' and seen[id] then
    fault = 'it waits in its queue twice'
  end
  seen[id] = true
  if fault then found[#found + 1] = {id, fault} end
end
return found
