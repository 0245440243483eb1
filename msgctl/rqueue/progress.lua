-- PROGRESS: how far running messages are, for `status` and for whoever listens.
--
-- ARGV: id, run, progress, event JSON; id, run, …   A run without its lease writes nothing.
for i = 1, #ARGV, 4 do
  local id, run = ARGV[i], ARGV[i + 1]
  if holds_lease(id, run) then
    redis.call('HSET', K.rq_job .. id, K.field_progress, ARGV[i + 2])
    redis.call('PUBLISH', K.progress_channel, ARGV[i + 3])
  end
end
return 1
