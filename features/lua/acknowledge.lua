-- Replaces delivered bytes by receipts, empties the outbox and raises the watermarks.
-- KEYS: epoch, pending, watermarks, then the event key of each delivery.
-- ARGV: for each delivery its digest and its packed partition and offset; then pairs of
--   watermark field and offset.
-- Either all deliveries are acknowledged or, where one is not what is stored, none.
if redis.call('GET', KEYS[1]) ~= EPOCH then
  return redis.error_reply('STALE the gate is not open for epoch ' .. EPOCH)
end
local call, sub = redis.call, string.sub
for at = 4, #KEYS do
  local held = call('GET', KEYS[at])
  if not held or sub(held, 1, 1) == 'C' or sub(held, 18, 49) ~= ARGV[(at - 4) * 2 + 1] then
    return redis.error_reply('STALE other bytes are decided under ' .. KEYS[at])
  end
end
for at = 4, #KEYS do
  local held = call('GET', KEYS[at])
  if sub(held, 1, 1) == 'D' then
    local facts = sub(held, 2, 59 + string.byte(held, 59))
    call('SET', KEYS[at], 'R' .. facts .. ARGV[(at - 4) * 2 + 2], 'EX', RECEIPT_TTL_S)
    call('ZREM', KEYS[2], KEYS[at])
  end
end
for argument = (#KEYS - 3) * 2 + 1, #ARGV, 2 do
  local mark = call('HGET', KEYS[3], ARGV[argument])
  local offset = ARGV[argument + 1]
  if not mark or tonumber(string.match(mark, '^%d+')) < tonumber(offset) then
    call('HSET', KEYS[3], ARGV[argument], offset .. ':' .. EPOCH)
  end
end
return 'OK'
