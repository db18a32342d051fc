-- Reads what has been claimed or decided for long and not acknowledged, oldest first.
-- KEYS: epoch, pending. ARGV: arrived before this ms, at most this many.
-- Reply: event key, value, event key, value, ...; the value of an expired claim is false.
if redis.call('GET', KEYS[1]) ~= EPOCH then
  return redis.error_reply('STALE the gate is not open for epoch ' .. EPOCH)
end
local held = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[2])
local reply = {}
for at, key in ipairs(held) do
  reply[at * 2 - 1] = key
  reply[at * 2] = redis.call('GET', key)
end
return reply
