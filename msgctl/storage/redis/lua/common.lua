-- LIBRARY: functions for scripts of all packages. `K` holds the names of msgctl/storage/redis/keys.py in lower case.
-- The time is that of Redis, so that a wrong clock on a host cannot end a lease.

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- Format Unix milliseconds as RQ formats dates (H. Hinnant's civil_from_days; Lua in Redis has no os.date).
local function iso(ms)
  local seconds = math.floor(ms / 1000)
  local days = math.floor(seconds / 86400)
  local rest = seconds - days * 86400
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local day = doy - math.floor((153 * mp + 2) / 5) + 1
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03d000Z', year, month, day,
    math.floor(rest / 3600), math.floor(rest % 3600 / 60), rest % 60, ms % 1000)
end

-- Whether a user may see what this owner owns. msgctl/domain/ownership.py has the same rule for reads.
local function is_owner(owner, user)
  return owner == user
end

-- Read fields of a job hash; return none if another program has stored another type under its key.
local function read_job(id, ...)
  local fields = redis.pcall('HMGET', K.rq_job .. id, ...)
  return fields.err and {} or fields
end

-- Whether a stream id is later than another.
local function is_later_entry(entry, other)
  local ms, n = string.match(entry, '^(%d+)-(%d+)$')
  local other_ms, other_n = string.match(other, '^(%d+)-(%d+)$')
  if ms == other_ms then return tonumber(n) > tonumber(other_n) end
  return tonumber(ms) > tonumber(other_ms)
end
