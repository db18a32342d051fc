-- Keeps the lock of a recovery for another while. KEYS: lock. ARGV: for how many ms.
if redis.call('GET', KEYS[1]) ~= TOKEN then
  return redis.error_reply('LOCKLOST another recovery has taken the lock')
end
return redis.call('PEXPIRE', KEYS[1], ARGV[1])
