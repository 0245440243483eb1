-- CHECK QUEUE: does a queue hold only messages that are queued in it, each once? One slice, read at one instant.
--
--   rq:queue:Q   LIST  ids against …
--   rq:job:ID    HASH  … the record of each; an ended message may be left here until the next claim drops it
--
-- ARGV: queue, first and last place in it.   Reads only. Returns the number of ids, then {id, problem} for each fault.
local ELSEWHERE = {started = 'it runs', scheduled = 'it is scheduled', deferred = 'it is deferred'}
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
    fault = 'it waits in ' .. queue .. ' and belongs to ' .. (own or 'none')
  elseif fields[4] and fields[1] == 'queued' and seen[id] then
    fault = 'it waits in its queue twice'
  end
  seen[id] = true
  if fault then found[#found + 1] = {id, fault} end
end
return found
