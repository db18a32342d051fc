-- Replaces delivered bytes by receipts, empties the outbox and raises the watermarks.
-- KEYS: epoch, pending, watermarks, then the event key of each delivery.
-- ARGV: for each delivery its digest and its packed partition and offset; then pairs of
--   watermark field and offset.
-- Either all deliveries are acknowledged or, where one is not what is stored, none.
if redis.call('GET', KEYS[1]) ~= EPOCH then
  return redis.error_reply('STALE the gate is not open for epoch ' .. EPOCH)
end
local call, sub = redis.call, string.sub
local events = {}
for at = 4, #KEYS do
  events[at - 3] = KEYS[at]
end
local held = #events > 0 and call('MGET', unpack(events)) or {}
for number, key in ipairs(events) do
  local value = held[number]
  if not value or sub(value, 1, 1) == 'C' or sub(value, 18, 49) ~= ARGV[number * 2 - 1] then
    return redis.error_reply('STALE other bytes are decided under ' .. key)
  end
end
local done = {}
for number, key in ipairs(events) do
  local value = held[number]
  if sub(value, 1, 1) == 'D' then
    local facts = sub(value, 2, 59 + string.byte(value, 59))
    call('SET', key, 'R' .. facts .. ARGV[number * 2], 'EX', RECEIPT_TTL_S)
    done[#done + 1] = key
  end
end
if #done > 0 then call('ZREM', KEYS[2], unpack(done)) end
for argument = (#KEYS - 3) * 2 + 1, #ARGV, 2 do
  local mark = call('HGET', KEYS[3], ARGV[argument])
  local offset = ARGV[argument + 1]
  if not mark or tonumber(string.match(mark, '^%d+')) < tonumber(offset) then
    call('HSET', KEYS[3], ARGV[argument], offset .. ':' .. EPOCH)
  end
end
return 'OK'
