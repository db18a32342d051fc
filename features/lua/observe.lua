-- Claims a batch of events, appends each to its logs, and returns what each may see.
-- KEYS: epoch, pending, then for each event its event key and the keys of its logs.
-- ARGV: claimed at ms; then four for each event: fingerprint, claim facts, records (one for each
--   log), and '1' where the tails are wanted.
-- Reply, one for each event: {'C', places, tail...} claimed, a tail is the end of its string and
--   a false one is lost; {'D', value} decided; {'R', value} receipt; {'M', fingerprint} claimed
--   for other content.
if redis.call('GET', KEYS[1]) ~= EPOCH then
  return redis.error_reply('STALE the gate is not open for epoch ' .. EPOCH)
end
local call, sub, floor, max = redis.call, string.sub, math.floor, math.max
local pack, unpack_bytes, byte, concat = struct.pack, struct.unpack, string.byte, table.concat
local INCARNATION = tonumber(EPOCH)
local FIRST_PLACE = pack('<I4I6I6', INCARNATION, 0, 0)

-- The first sequence that a log still has to hold when `following` is its next one.
local function fold(following)
  return max(0, floor((following - 2 * CAP - 1) / SLACK) * SLACK)
end

local function run(key, first, from, to)
  if to <= from then return '' end
  return call('GETRANGE', key, HEADER + (from - first) * RECORD, HEADER + (to - first) * RECORD - 1)
end

-- Appends a record; returns its place, packed, and a string that ends in the tail before it.
local function append(key, record, wanted)
  local bytes = call('APPEND', key, record)
  if bytes == RECORD then
    call('SET', key, FIRST_PLACE .. record, 'EX', LOG_TTL_S)
    return FIRST_PLACE, ''
  end
  -- Header and tail in one call where the tail is all that the log holds.
  local held = (bytes - HEADER) / RECORD - 1
  local whole = wanted and held <= CAP
  local front = call('GETRANGE', key, 0, (whole and bytes - RECORD or HEADER) - 1)
  local incarnation, base, first = unpack_bytes('<I4I6I6', front)
  local sequence = first + held
  if incarnation ~= INCARNATION then
    base = sequence
    call('SETRANGE', key, 0, pack('<I4I6', INCARNATION, base))
  end
  local tail = whole and front or wanted and run(key, first, sequence - CAP, sequence) or ''
  local keep = fold(sequence + 1)
  if keep > first then
    local kept = run(key, first, keep, sequence + 1)
    call('SET', key, pack('<I4I6I6', INCARNATION, base, keep) .. kept)
  end
  call('EXPIRE', key, LOG_TTL_S)
  return pack('<I4I6I6', INCARNATION, base, sequence), tail
end

-- The tail that the claim of `sequence` saw; false where the log no longer holds it.
local function seen(key, sequence)
  if sequence == 0 then return '' end
  local header = call('GETRANGE', key, 0, HEADER - 1)
  if header == '' then return false end
  local _, _, first = unpack_bytes('<I4I6I6', header)
  local following = first + (call('STRLEN', key) - HEADER) / RECORD
  local from = max(sequence - CAP, 0)
  if following <= sequence or from < fold(following) then return false end
  return run(key, first, max(from, first), sequence)
end

-- Returns the reply and the value that now stands.
local function claim(at, argument)
  local records, wanted = ARGV[argument + 2], ARGV[argument + 3] == '1'
  local logs = #records / RECORD
  local row, places = {'C', ''}, {}
  for log = 1, logs do
    local record = sub(records, (log - 1) * RECORD + 1, log * RECORD)
    places[log], row[log + 2] = append(KEYS[at + log], record, wanted)
  end
  row[2] = concat(places)
  local value = 'C' .. ARGV[argument] .. string.char(logs) .. row[2] .. ARGV[argument + 1]
  call('SET', KEYS[at], value, 'EX', LOG_TTL_S)
  return row, value
end

local function again(at, argument, held)
  local state = sub(held, 1, 1)
  if sub(held, 2, 17) ~= ARGV[argument] then return {'M', sub(held, 2, 17)} end
  if state ~= 'C' then return {state, held} end
  local logs = byte(held, 18)
  local row = {'C', sub(held, 19, 18 + logs * PLACE)}
  for log = 1, logs do
    row[log + 2] = ''
    if ARGV[argument + 3] == '1' then
      local _, _, sequence = unpack_bytes('<I4I6I6', held, 19 + (log - 1) * PLACE)
      row[log + 2] = seen(KEYS[at + log], sequence)
    end
  end
  return row
end

local places, events, at = {}, {}, 3
for argument = 2, #ARGV, 4 do
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
  local argument = number * 4 - 2
  if stand[key] then
    reply[number] = again(places[number], argument, stand[key])
  else
    -- The same event once more in this batch is a retry.
    reply[number], stand[key] = claim(places[number], argument)
  end
end
return reply
