-- Closes the gate: no script of an epoch works until a new one is opened.
-- KEYS: lock, epoch. ARGV: the highest epoch known from elsewhere, how far to go beyond it.
-- Reply: the epoch number that now stands behind the closed gate.
if redis.call('GET', KEYS[1]) ~= TOKEN then
  return redis.error_reply('LOCKLOST another recovery has taken the lock')
end
local held = redis.call('GET', KEYS[2]) or '0'
local highest = math.max(tonumber(string.match(held, '%d+')), tonumber(ARGV[1])) + tonumber(ARGV[2])
redis.call('SET', KEYS[2], string.format('closed:%.0f', highest))
return highest
