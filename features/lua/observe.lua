-- Claims a batch of events, appends each to its logs, and returns what each may see.
-- KEYS: epoch, pending, then for each event its event key and the keys of its logs.
-- ARGV, five for each event: fingerprint, claim facts, arrival ms, records (one for each log),
--   and '1' where the tails are wanted.
-- Reply, one for each event: {'C', places, tail...} claimed, a false tail is lost;
--   {'D', value} decided; {'R', value} receipt; {'M', fingerprint} claimed for other content.
if redis.call('GET', KEYS[1]) ~= EPOCH then
  return redis.error_reply('STALE the gate is not open for epoch ' .. EPOCH)
end
local call, sub, floor, max = redis.call, string.sub, math.floor, math.max
local pack, unpack = struct.pack, struct.unpack
local INCARNATION = tonumber(EPOCH)

-- The first sequence that a log still has to hold when `following` is its next one.
local function fold(following)
  return max(0, floor((following - 2 * CAP - 1) / SLACK) * SLACK)
end

local function run(key, first, from, to)
  if to <= from then return '' end
  return call('GETRANGE', key, HEADER + (from - first) * RECORD, HEADER + (to - first) * RECORD - 1)
end

-- Appends a record; returns its place, packed, and the tail before it.
local function append(key, record, wanted)
  local bytes = call('APPEND', key, record)
  if bytes == RECORD then
    call('SET', key, pack('<I4I6I6', INCARNATION, 0, 0) .. record, 'EX', LOG_TTL_S)
    return pack('<I4I6I6', INCARNATION, 0, 0), ''
  end
  local incarnation, base, first = unpack('<I4I6I6', call('GETRANGE', key, 0, HEADER - 1))
  local sequence = first + (bytes - HEADER) / RECORD - 1
  if incarnation ~= INCARNATION then
    base = sequence
    call('SETRANGE', key, 0, pack('<I4I6', INCARNATION, base))
  end
  local tail = wanted and run(key, first, max(sequence - CAP, first), sequence) or ''
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
  local _, _, first = unpack('<I4I6I6', header)
  local following = first + (call('STRLEN', key) - HEADER) / RECORD
  local from = max(sequence - CAP, 0)
  if following <= sequence or from < fold(following) then return false end
  return run(key, first, max(from, first), sequence)
end

local function claim(at, argument)
  local records, wanted = ARGV[argument + 3], ARGV[argument + 4] == '1'
  local logs = #records / RECORD
  local row, places = {'C', ''}, {}
  for log = 1, logs do
    local record = sub(records, (log - 1) * RECORD + 1, log * RECORD)
    places[log], row[log + 2] = append(KEYS[at + log], record, wanted)
  end
  row[2] = table.concat(places)
  local value = 'C' .. ARGV[argument] .. string.char(logs) .. row[2] .. ARGV[argument + 1]
  call('SET', KEYS[at], value, 'EX', LOG_TTL_S)
  call('ZADD', KEYS[2], ARGV[argument + 2], KEYS[at])
  return row
end

local function again(at, argument, held)
  local state = sub(held, 1, 1)
  if sub(held, 2, 17) ~= ARGV[argument] then return {'M', sub(held, 2, 17)} end
  if state ~= 'C' then return {state, held} end
  local logs = string.byte(held, 18)
  local row = {'C', sub(held, 19, 18 + logs * PLACE)}
  for log = 1, logs do
    row[log + 2] = ''
    if ARGV[argument + 4] == '1' then
      local _, _, sequence = unpack('<I4I6I6', held, 19 + (log - 1) * PLACE)
      row[log + 2] = seen(KEYS[at + log], sequence)
    end
  end
  return row
end

local reply, at = {}, 3
for argument = 1, #ARGV, 5 do
  local held = call('GET', KEYS[at])
  reply[#reply + 1] = held and again(at, argument, held) or claim(at, argument)
  at = at + 1 + #ARGV[argument + 3] / RECORD
end
return reply
