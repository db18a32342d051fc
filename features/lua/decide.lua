-- Stores the exact bytes of decisions, the first writer's, and puts them into the outbox.
-- KEYS: epoch, pending, then the event key of each publication.
-- ARGV: for each publication its decided value without state and fingerprint.
-- Reply, one for each: 'O' where the caller's bytes stand, else the value that stands.
if redis.call('GET', KEYS[1]) ~= EPOCH then
  return redis.error_reply('STALE the gate is not open for epoch ' .. EPOCH)
end
if #ARGV == 0 then return {} end
local call, sub = redis.call, string.sub
local events = {}
for at = 3, #KEYS do
  events[at - 2] = KEYS[at]
end
local held = call('MGET', unpack(events))
for number, key in ipairs(events) do
  if not held[number] then return redis.error_reply('STALE there is no claim under ' .. key) end
end
local stand, reply, pending = {}, {}, {}
for number, key in ipairs(events) do
  local value, decided = stand[key] or held[number], ARGV[number]
  local state = sub(value, 1, 1)
  if state == 'C' then
    local arrived = struct.unpack('<I6', value, 19 + string.byte(value, 18) * PLACE)
    stand[key] = 'D' .. sub(value, 2, 17) .. decided
    call('SET', key, stand[key], 'EX', RECEIPT_TTL_S)
    pending[#pending + 1] = string.format('%.0f', arrived)
    pending[#pending + 1] = key
    reply[number] = 'O'
  elseif state == 'D' and sub(value, 18, 49) == sub(decided, 1, 32) then
    reply[number] = 'O'
  else
    reply[number] = value
  end
end
-- Each keeps the time of its claim; one that the sweeper has settled comes back as old.
if #pending > 0 then call('ZADD', KEYS[2], 'NX', unpack(pending)) end
return reply
