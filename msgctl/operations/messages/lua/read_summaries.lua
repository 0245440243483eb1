-- READ SUMMARIES: the fields of messages that listings show. The texts never leave Redis. Reads only.
--
--   rq:job:ID   HASH  the fields of RQ and msgctl
--
-- ARGV: a part of the text, as it is written in JSON; empty: any text. Then ids.
-- Returns for each id {status, user, channel, priority, attempts, crashes, error, finished, ready, created,
-- conversation, edition, agent, progress}, or {} if there is no such message, or {status} if its text lacks the part.
local part = ARGV[1]
local rows = {}

-- The agent that a message names. Jobs of earlier versions have no field for it.
local function agent_in(message)
  local ok, decoded = pcall(cjson.decode, message)
  local agent = ok and type(decoded) == 'table' and decoded.agentId
  return type(agent) == 'string' and agent or ''
end

for i = 2, #ARGV do
  local row = read_job(ARGV[i], 'status', K.field_user, K.field_channel, K.field_priority, K.field_attempts,
    K.field_crashes, K.field_error, K.field_finished, K.field_ready, 'created_at', K.field_conversation,
    K.field_edition, K.field_agent, K.field_progress, K.field_message)
  local message = row[15]
  if not (row[1] and message) then
    rows[#rows + 1] = {}
  elseif part ~= '' and not string.find(message, part, 1, true) then
    rows[#rows + 1] = {row[1]}
  else
    row[13] = row[13] or agent_in(message)
    for field = 1, 14 do row[field] = row[field] or '' end
    row[15] = nil
    rows[#rows + 1] = row
  end
end
return rows
