-- CHECK RUNS: does each run belong to an active message, does RQ show it, and is it within its lease?
--
--   msgctl:leases              ZSET  by the millisecond at which the lease ends
--   rq:job:ID                  HASH  started, and in this run
--   rq:wip, rq:execution       what the tools of RQ show
--   msgctl:tended              HASH  whether a worker reaps; without one a run past its lease is no fault
--
-- ARGV: milliseconds for which a run may be past its lease, then ID:RUN.   Reads only.
-- Returns {ID:RUN, problem} for each fault.
local now, margin = now_ms(), tonumber(ARGV[1])
local tended = redis.call('HMGET', K.tended, 'at', 'grace')
local someone_reaps = now - tonumber(tended[1] or 0) < 3000 and now > tonumber(tended[2] or 0) + margin

local faults = {}
for i = 2, #ARGV do
  local member = ARGV[i]
  local id, run = string.match(member, '^(.+):(%d+)$')
  local fields = read_job(id or '', 'status', 'origin', K.field_runs)
  local ends = tonumber(redis.call('ZSCORE', K.leases, member) or nil)
  local shown = fields[2] and redis.call('ZSCORE', K.rq_wip .. fields[2], member)
  local fault
  if ends and (fields[1] ~= 'started' or fields[3] ~= run) then
    fault = 'it holds a lease and does not run'
  elseif ends and (not shown or redis.call('EXISTS', K.rq_execution .. member) == 0) then
    fault = 'it runs, and RQ does not show it'
  elseif shown and not ends then
    fault = 'RQ shows it running, and it holds no lease'
  elseif ends and someone_reaps and now - ends > margin then
    fault = 'it has been past its lease for ' .. math.floor((now - ends) / 1000) .. ' s'
  end
  if fault then faults[#faults + 1] = {member, fault} end
end
return faults
