-- Opens the gate for a new epoch and gives the lock back, in one step.
-- KEYS: lock, epoch, watermarks. ARGV: epoch, then pairs of watermark field and offset.
if redis.call('GET', KEYS[1]) ~= TOKEN then
  return redis.error_reply('LOCKLOST another recovery has taken the lock')
end
if redis.call('GET', KEYS[2]) ~= 'closed:' .. ARGV[1] then
  return redis.error_reply('LOCKLOST the closed gate is not that of epoch ' .. ARGV[1])
end
for argument = 2, #ARGV, 2 do
  redis.call('HSET', KEYS[3], ARGV[argument], ARGV[argument + 1] .. ':' .. ARGV[1])
end
redis.call('SET', KEYS[2], ARGV[1])
redis.call('DEL', KEYS[1])
return 'OK'
