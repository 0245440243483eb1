-- LIBRARY: functions of the ledger.

-- Append one event of one message, in the script that makes the transition. Its time is its stream id.
--   what  accepted queued claimed committed silent failed held crashed quarantined buried replayed handed_back parked
--         removed vanished edited, and of its delivery: adopted sending part_sent postponed paced channel_closed due
--         recovered sent delivery_failed unknown kept told receipt
--   by    the actor: the name of a worker or subscriber, or the kind of program or person
--   ...   evidence as names and values; never the text of a message, a phone number, or a token
local function record_event(id, what, by, ...)
  redis.call('XADD', K.events, 'MAXLEN', '~', K.events_limit, '*', 'id', id, 'what', what, 'by', by, ...)
end
