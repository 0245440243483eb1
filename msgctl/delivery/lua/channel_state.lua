-- LIBRARY: functions of a channel's state.

-- Whether a channel of delivery is paused or broken; and if it is neither, whether it is only being tried.
local function is_channel_closed(channel, now)
  local found = redis.call('HMGET', K.channel_state .. channel, 'pausedAt', 'openUntil')
  local open_until = tonumber(found[2] or 0)
  return found[1] ~= false or open_until > now, open_until > 0
end

-- Its provider has answered: the breaker of a channel closes.
local function close_channel_breaker(channel)
  if not channel or redis.call('HEXISTS', K.channel_state .. channel, 'streak') == 0 then return end
  redis.call('HDEL', K.channel_state .. channel, 'streak', 'openings', 'openUntil')
  redis.call('DEL', K.channel_state .. channel .. K.channel_probe)
end
