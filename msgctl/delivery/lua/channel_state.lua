-- LIBRARY: functions of a channel's state.

-- Whether a delivery channel is paused or broken; and whether its circuit breaker is half open if it is neither.
local function is_channel_closed(channel, now)
  local fields = redis.call('HMGET', K.channel_state .. channel, 'pausedAt', 'openUntil')
  local open_until = tonumber(fields[2] or 0)
  return fields[1] ~= false or open_until > now, open_until > 0
end

-- Close the circuit breaker of a channel, because its provider has answered.
local function close_channel_breaker(channel)
  if not channel or redis.call('HEXISTS', K.channel_state .. channel, 'streak') == 0 then return end
  redis.call('HDEL', K.channel_state .. channel, 'streak', 'openings', 'openUntil')
  redis.call('DEL', K.channel_state .. channel .. K.channel_probe)
end
