"""The Lua script for compare-and-set in Redis: the newest row of each key wins, in any order of writers.

In: keys, and their values as Feast writes them. Out: how many were written. Knows no client.
"""

# A Timestamp is two varints, seconds and nanos. A negative number of seconds takes ten bytes of two's complement, too
# wide for Lua's doubles, so its complement is summed as well. The field of the order holds `created_us`, eight bytes,
# big-endian, followed by the time of the row to which it belongs: beside a row that another program wrote it is void,
# and such a row is older than any other with the same time, like one of an earlier version.
# ARGV: seconds to live, the name of the order's field, m, the m names of Feast's fields; then for each key `created_us`
# and the m values, of which the first is the time.
SCRIPT = """
local function varint(text, at)
  local value, inverse, scale = 0, 0, 1
  for i = at, at + 8 do
    local byte = text:byte(i)
    if not byte then return 0, i end
    local low = byte % 128
    value = value + low * scale
    inverse = inverse + (127 - low) * scale
    scale = scale * 128
    if byte < 128 then return value, i + 1 end
  end
  return -inverse - 1, at + 10
end
local function decode(text)
  local seconds, nanos, at = 0, 0, 1
  if text:byte(at) == 8 then seconds, at = varint(text, at + 1) end
  if text:byte(at) == 16 then nanos = varint(text, at + 1) end
  return seconds, nanos
end
local function is_later(time, created, held, order)
  local high, low, held_high, held_low
  if not held then return true end
  if time ~= held then
    high, low = decode(time)
    held_high, held_low = decode(held)
  else
    if not order or #order < 8 or order:sub(9) ~= held then return true end
    high, low = struct.unpack('>I4I4', created)
    held_high, held_low = struct.unpack('>I4I4', order)
  end
  return high > held_high or (high == held_high and low > held_low)
end
local ttl, order, m = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local written, alien = 0, {}
for k, key in ipairs(KEYS) do
  local at = 3 + m + (k - 1) * (m + 1)
  local created, time = ARGV[at + 1], ARGV[at + 2]
  local held = redis.pcall('HMGET', key, ARGV[4], order)
  if held.err then
    if not held.err:find('WRONGTYPE') then return held end
    alien[#alien + 1] = k
  elseif is_later(time, created, held[1], held[2]) then
    local fields = {order, created .. time}
    for f = 1, m do
      fields[2 * f + 1], fields[2 * f + 2] = ARGV[3 + f], ARGV[at + 1 + f]
    end
    redis.call('HSET', key, unpack(fields))
    if ttl > 0 then redis.call('EXPIRE', key, ttl) end
    written = written + 1
  end
end
return {written, unpack(alien)}
"""
"""Returns how many keys it has written, and the indices, from 1, of keys that hold something else than a hash."""

MAKE_ROOM = "if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then return redis.call('DEL', KEYS[1]) end return 0"
