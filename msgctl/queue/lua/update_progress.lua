-- UPDATE PROGRESS: store and publish the progress of running messages.
--
-- ARGV: id, run, the progress since the last call (`10 20 …`), event JSON up to the number; id, run, …
-- A run without its lease writes nothing.
for i = 1, #ARGV, 4 do
  local id, run, steps = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if holds_lease(id, run) then
    redis.call('HSET', K.rq_job .. id, K.field_progress, string.match(steps, '%d+$'))
    publish_progress(ARGV[i + 3], steps)
  end
end
return 1
