-- Takes claims whose ledger record is delivered (or that have expired) out of the pending set.
-- What was decided meanwhile stays: it waits for its acknowledgement.
-- KEYS: epoch, pending, then the event keys.
if redis.call('GET', KEYS[1]) ~= EPOCH then
  return redis.error_reply('STALE the gate is not open for epoch ' .. EPOCH)
end
for at = 3, #KEYS do
  local held = redis.call('GET', KEYS[at])
  if not held or string.sub(held, 1, 1) ~= 'D' then
    redis.call('ZREM', KEYS[2], KEYS[at])
  end
end
return 'OK'
