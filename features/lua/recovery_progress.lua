-- Notes how far a rebuild has come. KEYS: lock, watermarks. ARGV: pairs of field and mark.
if redis.call('GET', KEYS[1]) ~= TOKEN then
  return redis.error_reply('LOCKLOST another recovery has taken the lock')
end
return redis.call('HSET', KEYS[2], unpack(ARGV))
