-- Takes claims whose ledger record is delivered out of the pending set.
-- KEYS: lock, pending. ARGV: the event keys.
if redis.call('GET', KEYS[1]) ~= TOKEN then
  return redis.error_reply('LOCKLOST another recovery has taken the lock')
end
return redis.call('ZREM', KEYS[2], unpack(ARGV))
