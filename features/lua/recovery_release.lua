-- Gives the lock back, if it is still ours. KEYS: lock.
if redis.call('GET', KEYS[1]) == TOKEN then return redis.call('DEL', KEYS[1]) end
return 0
