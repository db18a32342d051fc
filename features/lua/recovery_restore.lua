-- Writes restored values. KEYS: lock, pending, then the keys to write.
-- ARGV: for each key its value, its seconds to live, and '1' where it leaves the pending set.
if redis.call('GET', KEYS[1]) ~= TOKEN then
  return redis.error_reply('LOCKLOST another recovery has taken the lock')
end
for at = 3, #KEYS do
  local argument = (at - 3) * 3 + 1
  redis.call('SET', KEYS[at], ARGV[argument], 'EX', ARGV[argument + 1])
  if ARGV[argument + 2] == '1' then redis.call('ZREM', KEYS[2], KEYS[at]) end
end
return 'OK'
