-- PROGRESS: how far running messages are, for `status` and for whoever listens.
--
-- ARGV: id, run, the steps passed since (`10 20 …`), event JSON up to the number; id, run, …
-- A run without its lease writes nothing.
for i = 1, #ARGV, 4 do
  local id, run, passed = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if holds_lease(id, run) then
    redis.call('HSET', K.rq_job .. id, K.field_progress, string.match(passed, '%d+$'))
    publish_progress(ARGV[i + 3], passed)
  end
end
return 1
