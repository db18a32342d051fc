-- Folds records that fall off a log into its rollup, as features/rollups.py does. Stands before
-- observe.lua. Numbers stay below 2^53, so they are exact.
local roll_up
do
  local sub, floor, max, concat, sort = string.sub, math.floor, math.max, table.concat, table.sort
  local pack, unpack_bytes = struct.pack, struct.unpack
  local CELL_FORMAT, WORD = '<I4I4I4I4I4I4I4', 4294967296

  local function begins(newest, back)
    return floor((newest - back) / DAY_MS) * DAY_MS
  end

  -- The key of the tile and kind of a time.
  local function key_of(time, coarse, kind)
    local hour = time < coarse and floor(time / DAY_MS) * 24 or floor(time / HOUR_MS)
    return hour * 32 + kind
  end

  -- Adds to the cell of a key: time of the newest record, records, known ones, sum, largest.
  local function add(cells, keys, key, newest, count, known, sum, largest)
    local cell = cells[key]
    if not cell then
      cells[key] = {newest, count, known, sum, largest}
      keys[#keys + 1] = key
      return
    end
    cell[1] = max(cell[1], newest)
    cell[2], cell[3], cell[4] = cell[2] + count, cell[3] + known, cell[4] + sum
    cell[5] = max(cell[5], largest)
  end

  -- Times and kinds of the records, the time of the newest, and the gaps with their holes.
  local function read(records, first, newest, gaps)
    local times, kinds, amounts, low = {}, {}, {}, nil
    for number = 0, #records / RECORD - 1 do
      local w0, w1, _, _, w4 = unpack_bytes('<I4I4I4I4I4', records, number * RECORD + 1)
      local kind = floor(w1 / 1024) % 32
      if kind == HOLE then
        low = low or number
      else
        if low then gaps(first + low, first + number) end
        low = nil
        local time = w0 + w1 % 1024 * WORD
        times[#times + 1], kinds[#kinds + 1], amounts[#amounts + 1] = time, kind, w4
        newest = max(newest, time)
      end
    end
    if low then gaps(first + low, first + #records / RECORD) end
    return times, kinds, amounts, newest
  end

  -- Takes the cells from a key on out of the packed ones, into a table; the packed ones left.
  local function take(packed, from, coarse, dropped, cells, keys)
    local at = #packed - CELL + 1
    while at > 0 do
      local key, off, count, known, low, high, largest = unpack_bytes(CELL_FORMAT, packed, at)
      if key < from then break end
      local hour = floor(key / 32)
      if hour * HOUR_MS >= dropped then
        local to = key_of(hour * HOUR_MS, coarse, key % 32)
        add(cells, keys, to, hour * HOUR_MS + off, count, known, low + high * WORD, largest)
      end
      at = at - CELL
    end
    local begin = 1
    while begin < at + CELL and floor(unpack_bytes('<I4', packed, begin) / 32) * HOUR_MS < dropped do
      begin = begin + CELL
    end
    return sub(packed, begin, at + CELL - 1)
  end

  local function packed_cell(key, of)
    local off, sum = of[1] - floor(key / 32) * HOUR_MS, of[4]
    return pack(CELL_FORMAT, key, off, of[2], of[3], sum % WORD, floor(sum / WORD), of[5])
  end

  -- The rollup of `rolled` and of the records from sequence `first` up to `keep`.
  function roll_up(rolled, records, first, keep)
    local before, folded, count = 0, 0, 0
    if #rolled > 0 then before, folded, count = unpack_bytes('<I6I6I4', rolled) end
    local cells_at = ROLLUP_HEADER + count * GAP
    local gaps = sub(rolled, ROLLUP_HEADER + 1, cells_at)
    local function gap(low, high)
      if #gaps > 0 then
        local last, ends = unpack_bytes('<I6I6', gaps, #gaps - GAP + 1)
        if ends == low then low, gaps = last, sub(gaps, 1, #gaps - GAP) end
      end
      gaps = gaps .. pack('<I6I6', low, high)
    end
    if folded < first then gap(folded, first) end
    local times, kinds, amounts, newest = read(records, first, before, gap)
    local coarse, dropped = begins(newest, HOUR_TILES_MS), begins(newest, TILES_KEPT_MS)
    local was_coarse = begins(before, HOUR_TILES_MS)
    local from = was_coarse < coarse and was_coarse / HOUR_MS * 32 or 4294967295
    local cells, keys, found = {}, {}, {}
    for number, time in ipairs(times) do
      if time >= dropped then
        found[number] = key_of(time, coarse, kinds[number])
        if found[number] < from then from = found[number] end
      end
    end
    local left = take(sub(rolled, cells_at + 1), from, coarse, dropped, cells, keys)
    for number, key in pairs(found) do
      local amount = amounts[number]
      local known = amount ~= AMOUNT_UNKNOWN and 1 or 0
      add(cells, keys, key, times[number], 1, known, amount * known, amount * known)
    end
    sort(keys)
    local parts = {pack('<I6I6I4', newest, keep, #gaps / GAP), gaps, left}
    for _, key in ipairs(keys) do parts[#parts + 1] = packed_cell(key, cells[key]) end
    return concat(parts)
  end
end
