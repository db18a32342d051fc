-- Stores the exact bytes of decisions, the first writer's, and puts them into the outbox.
-- KEYS: epoch, pending, then the event key of each publication.
-- ARGV: for each publication its decided value without state and fingerprint.
-- Reply, one for each: 'O' where the caller's bytes stand, else the value that stands.
if redis.call('GET', KEYS[1]) ~= EPOCH then
  return redis.error_reply('STALE the gate is not open for epoch ' .. EPOCH)
end
local call, sub = redis.call, string.sub
for at = 3, #KEYS do
  if call('EXISTS', KEYS[at]) == 0 then
    return redis.error_reply('STALE there is no claim under ' .. KEYS[at])
  end
end
local reply = {}
for at = 3, #KEYS do
  local held, decided = call('GET', KEYS[at]), ARGV[at - 2]
  local state = sub(held, 1, 1)
  if state == 'C' then
    local arrived = struct.unpack('<I6', held, 19 + string.byte(held, 18) * PLACE)
    call('SET', KEYS[at], 'D' .. sub(held, 2, 17) .. decided, 'EX', RECEIPT_TTL_S)
    -- It keeps the time of its claim; one that the sweeper has settled comes back as old.
    call('ZADD', KEYS[2], 'NX', string.format('%.0f', arrived), KEYS[at])
    reply[at - 2] = 'O'
  elseif state == 'D' and sub(held, 18, 49) == sub(decided, 1, 32) then
    reply[at - 2] = 'O'
  else
    reply[at - 2] = held
  end
end
return reply
