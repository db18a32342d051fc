-- Claims a batch of events and appends each to its logs; the caller reads the logs after it.
-- KEYS: epoch, pending, then for each event its event key and the keys of its logs.
-- ARGV: claimed at ms; then three for each event: fingerprint, claim facts, records (one for
--   each log).
-- Reply, one for each event: {'C', places} claimed; {'D', value} decided; {'R', value} receipt;
--   {'M', fingerprint} claimed for other content.
if redis.call('GET', KEYS[1]) ~= EPOCH then
  return redis.error_reply('STALE the gate is not open for epoch ' .. EPOCH)
end
local call, sub, floor, max = redis.call, string.sub, math.floor, math.max
local pack, unpack_bytes, byte, concat = struct.pack, struct.unpack, string.byte, table.concat
local INCARNATION = tonumber(EPOCH)
local FIRST_PLACE = pack('<I4I6I6', INCARNATION, 0, 0)
local FIRST_HEADER = FIRST_PLACE .. pack('<I4', 0)

-- The first sequence that a log still has to hold when `following` is its next one.
local function fold(following)
  return max(0, floor((following - 2 * CAP - 1) / SLACK) * SLACK)
end

-- Appends a record; returns its place, packed.
local function append(key, record)
  local bytes = call('APPEND', key, record)
  if bytes == RECORD then
    call('SET', key, FIRST_HEADER .. record, 'EX', LOG_TTL_S)
    return FIRST_PLACE
  end
  local head = call('GETRANGE', key, 0, HEADER - 1)
  local incarnation, base, first, rollup = unpack_bytes('<I4I6I6I4', head)
  local sequence = first + (bytes - HEADER - rollup) / RECORD - 1
  if incarnation ~= INCARNATION then
    base = sequence
    call('SETRANGE', key, 0, pack('<I4I6', INCARNATION, base))
  end
  local keep = fold(sequence + 1)
  if keep > first then
    local held = call('GETRANGE', key, HEADER, -1)
    local cut = rollup + (keep - first) * RECORD
    local rolled = roll_up(sub(held, 1, rollup), sub(held, rollup + 1, cut), first, keep)
    local kept = sub(held, cut + 1)
    call('SET', key, pack('<I4I6I6I4', INCARNATION, base, keep, #rolled) .. rolled .. kept)
  end
  call('EXPIRE', key, LOG_TTL_S)
  return pack('<I4I6I6', INCARNATION, base, sequence)
end

-- Returns the reply and the value that now stands.
local function claim(at, argument)
  local records = ARGV[argument + 2]
  local logs = #records / RECORD
  local places = {}
  for log = 1, logs do
    places[log] = append(KEYS[at + log], sub(records, (log - 1) * RECORD + 1, log * RECORD))
  end
  local packed = concat(places)
  local value = 'C' .. ARGV[argument] .. string.char(logs) .. packed .. ARGV[argument + 1]
  call('SET', KEYS[at], value, 'EX', LOG_TTL_S)
  return {'C', packed}, value
end

local function again(argument, held)
  local state = sub(held, 1, 1)
  if sub(held, 2, 17) ~= ARGV[argument] then return {'M', sub(held, 2, 17)} end
  if state ~= 'C' then return {state, held} end
  return {'C', sub(held, 19, 18 + byte(held, 18) * PLACE)}
end

local places, events, at = {}, {}, 3
for argument = 2, #ARGV, 3 do
  places[#places + 1] = at
  events[#events + 1] = KEYS[at]
  at = at + 1 + #ARGV[argument + 2] / RECORD
end
if #events == 0 then return {} end
local stand, reply, pending = {}, {}, {}
for number, value in ipairs(call('MGET', unpack(events))) do
  stand[events[number]] = value
  if not value then
    pending[#pending + 1] = ARGV[1]
    pending[#pending + 1] = events[number]
  end
end
-- Before the claims: should one of them fail, none stands outside of the pending set.
if #pending > 0 then call('ZADD', KEYS[2], unpack(pending)) end
for number, key in ipairs(events) do
  local argument = number * 3 - 1
  if stand[key] then
    reply[number] = again(argument, stand[key])
  else
    -- The same event once more in this batch is a retry.
    reply[number], stand[key] = claim(places[number], argument)
  end
end
return reply
