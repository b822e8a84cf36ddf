-- sharded-slots: one slot of one sale, run atomically inside Redis, one call per slot and batch.
--
-- In front of this text the engine puts one line, `local EPOCH, NONCE, SLOTS = '<epoch>', '<nonce>', '<slots>'`, so
-- every opening has a script, and a SHA1, of its own. It is called by that SHA1 only: a node that restarted or was
-- replaced answers NOSCRIPT, which means "not open" (R13). begin.lua starts an opening; nothing else loads this text.
-- A process that counts the slots differently has another SHA1 too, so it looks for nobody in the wrong home.
--
-- KEYS (one hash slot):
--   META   hash: epoch, nonce, slots, state (loading | loaded | open | lost | retired), loader,
--          remaining, open (units in open holds), returned (times that units came back), moved (steps of transfers),
--          transfers (transfers out of here that are not known to have arrived), out:<slot> (number of the last transfer
--          to that slot), in:<slot> (number of the last transfer credited from there, kept for the epoch, R16)
--   GATE   hash: user -> order, quantity                          who may not buy again; carries the epoch in its name
--   HOLDS  hash: order -> user, quantity, touched, marked, incarnations...            granted and not settled; likewise
-- ARGV: the operation, then its arguments. Records are packed, little-endian, without padding; ids stay strings of
-- 8 bytes, because a Lua number cannot hold an i64. A call carries at most 1,000 records, so that every unpack()
-- stays far below Lua's limit of about 8,000 values and a call never blocks the server for more than milliseconds.
local META, GATE, HOLDS = KEYS[1], KEYS[2], KEYS[3]
local operation, batch = ARGV[1], ARGV[2]
local call, sub, pack, parse = redis.call, string.sub, struct.pack, struct.unpack

local NOT_OPEN = 'N'
local GATE_QUANTITY_AT = 9 -- after the order
local HOLD_QUANTITY_AT = 9 -- after the user
local HOLD_TOUCHED_AT = 13
local HOLD_MARKED_AT = 21
local HOLD_INCARNATIONS_AT = 22
-- Incarnations remembered per hold; beyond that the buyer is told "busy", so that none is ever forgotten (R8).
local INCARNATIONS_MAX = 64

-- The server's clock, unix ms. It stands still while the script runs.
local function clock_ms()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function is_marked(hold)
  return sub(hold, HOLD_MARKED_AT, HOLD_MARKED_AT) == '\1'
end

-- `hold` touched now by `incarnation`, or nil when no further incarnation fits.
local function touched(hold, now, incarnation)
  local known = 0
  for at = HOLD_INCARNATIONS_AT, #hold, 8 do
    if sub(hold, at, at + 7) == incarnation then
      incarnation = ''
    end
    known = known + 1
  end
  if known == INCARNATIONS_MAX and incarnation ~= '' then
    return nil
  end
  return sub(hold, 1, HOLD_TOUCHED_AT - 1) .. pack('<d', now) .. sub(hold, HOLD_MARKED_AT) .. incarnation
end

-- A transfer in META's `transfers`: target 2, number 4, quantity 8 (double).
local TRANSFER, TRANSFER_BYTES = '<I2I4d', 14

-- Record: user 8, order 8, quantity 4, expires_at_ms 8 (double), incarnation 8, may_sell 1. Sells only if at least
-- `threshold` units are left: all that asks for units here is granted, or nothing is. Answers what is left, then one
-- letter per record, then what the letter D (order, quantity) needs, in order; a lower-case d is a settled duplicate,
-- B busy, E expired, O no order and not to be sold to, Q a quantity of nothing, W undecided: it wants units that it
-- was not given (no slot alone can call a sale sold out), or it follows such a request of the same user.
local RESERVE_BYTES = 37
local function reserve(remaining, open, threshold)
  local is_selling = remaining >= threshold
  local now, count = clock_ms(), #batch / RESERVE_BYTES
  local users = {}
  for i = 1, count do
    users[i] = sub(batch, (i - 1) * RESERVE_BYTES + 1, (i - 1) * RESERVE_BYTES + 8)
  end
  local gates = call('HMGET', GATE, unpack(users))
  -- What this batch grants is collected as field, value, field, value, … and written at the end; `granted_at` finds
  -- a user's grant again, so that a user who is twice in a batch is treated as if one request came after the other.
  local new_gates, new_holds, granted_at, size = {}, {}, {}, 0
  local letters, details, tails, undecided = {}, {}, {}, {}

  local function duplicate(i, user, incarnation)
    local at = granted_at[user]
    local gate = at and new_gates[at] or gates[i]
    local order = sub(gate, 1, 8)
    local hold = at and new_holds[at] or call('HGET', HOLDS, order)
    if hold then
      local again = not is_marked(hold) and touched(hold, now, incarnation)
      if not again then
        return 'B'
      elseif at then
        new_holds[at] = again
      else
        call('HSET', HOLDS, order, again)
      end
    end
    details[#details + 1] = gate
    return hold and 'D' or 'd'
  end

  for i = 1, count do
    local user = users[i]
    local order, quantity, expires_at_ms, incarnation, may_sell =
      parse('<c8I4dc8B', batch, (i - 1) * RESERVE_BYTES + 9)
    if quantity == 0 then
      letters[i] = 'Q'
    elseif now > expires_at_ms then
      letters[i] = 'E' -- R7: its caller may have given up
    elseif gates[i] or granted_at[user] then
      letters[i] = duplicate(i, user, incarnation)
    elseif may_sell == 0 and not undecided[user] then
      letters[i] = 'O'
    elseif may_sell == 0 or not is_selling or quantity > remaining then
      letters[i], undecided[user] = 'W', true
    else
      remaining, open = remaining - quantity, open + quantity
      local tail = tails[quantity]
      if not tail then
        tail = pack('<I4dB', quantity, now, 0)
        tails[quantity] = tail
      end
      size = size + 2
      new_gates[size - 1], new_gates[size] = user, order .. sub(tail, 1, 4)
      new_holds[size - 1], new_holds[size] = order, user .. tail .. incarnation
      granted_at[user] = size
      letters[i] = 'G'
    end
  end
  if size > 0 then
    call('HSET', GATE, unpack(new_gates))
    call('HSET', HOLDS, unpack(new_holds))
    call('HSET', META, 'remaining', remaining, 'open', open)
  end
  return remaining, { table.concat(letters), unpack(details) }
end

-- Record: user 8, order 8, kind 1 (0 settle, 1 release). Answers one letter per record: D done, A already done.
-- Quantities come from the gate and the hold, never from the caller, so what comes back is what was taken.
local FINISH_BYTES = 17
local function finish(remaining, open)
  local users, orders, releases = {}, {}, {}
  local before = remaining
  local any_release = false
  for i = 1, #batch / FINISH_BYTES do
    local kind
    users[i], orders[i], kind = parse('<c8c8B', batch, (i - 1) * FINISH_BYTES + 1)
    releases[i] = kind == 1
    any_release = any_release or releases[i]
  end
  local holds = call('HMGET', HOLDS, unpack(orders))
  local gates = any_release and call('HMGET', GATE, unpack(users))
  -- Lists of what to delete; entries by name too, because an order may be twice in a batch.
  local closed, cleared, letters = {}, {}, {}
  for i, order in ipairs(orders) do
    local user, is_done = users[i], false
    if releases[i] then
      local gate = not cleared[user] and gates[i]
      if gate and sub(gate, 1, 8) == order then
        remaining = remaining + parse('<I4', gate, GATE_QUANTITY_AT)
        cleared[user], cleared[#cleared + 1] = true, user
        is_done = true
      end
    end
    local hold = not closed[order] and holds[i]
    if hold and (is_done or not releases[i]) then
      open = open - parse('<I4', hold, HOLD_QUANTITY_AT)
      closed[order], closed[#closed + 1] = true, order
      is_done = true
    end
    letters[i] = is_done and 'D' or 'A'
  end
  if #closed > 0 then
    call('HDEL', HOLDS, unpack(closed))
  end
  if #cleared > 0 then
    call('HDEL', GATE, unpack(cleared))
  end
  if #closed + #cleared > 0 then
    call('HSET', META, 'remaining', remaining, 'open', open)
  end
  if remaining > before then
    call('HINCRBY', META, 'returned', 1)
  end
  return table.concat(letters)
end

-- One page of open holds: next cursor, clock, then order, hold, order, hold, …
local function list(cursor, limit, untouched_for_ms)
  local now, page = clock_ms(), call('HSCAN', HOLDS, cursor, 'COUNT', limit)
  local answer, entries = { page[1], now }, page[2]
  for i = 1, #entries, 2 do
    if now - parse('<d', entries[i + 1], HOLD_TOUCHED_AT) >= untouched_for_ms then
      answer[#answer + 1] = entries[i]
      answer[#answer + 1] = entries[i + 1]
    end
  end
  return answer
end

-- Record: user 8, order 8. Marks those holds that are old enough; age test and mark are one step:
-- mark-with-age (R8). Answers like list, with those that are marked now.
local MARK_BYTES = 16
local function mark(untouched_for_ms)
  local now = clock_ms()
  local answer = { '0', now }
  for at = 1, #batch, MARK_BYTES do
    local user, order = sub(batch, at, at + 7), sub(batch, at + 8, at + MARK_BYTES - 1)
    local hold = call('HGET', HOLDS, order)
    if hold and sub(hold, 1, 8) ~= user then
      hold = nil
    end
    if hold and not is_marked(hold) and now - parse('<d', hold, HOLD_TOUCHED_AT) >= untouched_for_ms then
      hold = sub(hold, 1, HOLD_MARKED_AT - 1) .. '\1' .. sub(hold, HOLD_INCARNATIONS_AT)
      call('HSET', HOLDS, order, hold)
    end
    if hold and is_marked(hold) then
      answer[#answer + 1] = order
      answer[#answer + 1] = hold
    end
  end
  return answer
end

-- Where in `transfers` the transfer to `target` is, if there is one, with its number and quantity.
local function find_transfer(transfers, target)
  for at = 1, #transfers, TRANSFER_BYTES do
    local to, number, quantity = parse(TRANSFER, transfers, at)
    if to == target then
      return at, number, quantity
    end
  end
end

-- First step of a transfer: up to `wanted` units leave for `target`. They are on record here until they are known to
-- have arrived, so that anybody can finish what a crash interrupted. One transfer at a time to each slot: while one
-- is on its way it is answered again. Answers number and quantity.
local function debit(target, wanted, remaining, transfers)
  local at, number, quantity = find_transfer(transfers, target)
  if at then
    return { number, quantity }
  end
  quantity = math.min(wanted, remaining)
  if quantity <= 0 then
    return { 0, 0 }
  end
  number = call('HINCRBY', META, 'out:' .. target, 1)
  call('HSET', META, 'remaining', remaining - quantity, 'transfers', transfers .. pack(TRANSFER, target, number, quantity))
  call('HINCRBY', META, 'moved', 1)
  return { number, quantity }
end

-- Second step: the units arrive, once; a late duplicate finds its number used (R16).
local function credit(source, number, quantity, remaining)
  if number <= tonumber(call('HGET', META, 'in:' .. source) or 0) then
    return 'A'
  end
  call('HSET', META, 'in:' .. source, number, 'remaining', remaining + quantity)
  call('HINCRBY', META, 'moved', 1)
  return 'D'
end

-- Last step: what has arrived is taken off the record.
local function clear(target, number, transfers)
  local at, known = find_transfer(transfers, target)
  if known ~= number then
    return 'A'
  end
  call('HSET', META, 'transfers', sub(transfers, 1, at - 1) .. sub(transfers, at + TRANSFER_BYTES))
  call('HINCRBY', META, 'moved', 1)
  return 'D'
end

-- Record: user 8, order 8, quantity 4. The buyers who may not buy again, already settled.
local BUYER_BYTES = 20
local function load()
  local fields = {}
  for at = 1, #batch, BUYER_BYTES do
    fields[#fields + 1] = sub(batch, at, at + 7)
    fields[#fields + 1] = sub(batch, at + 8, at + BUYER_BYTES - 1)
  end
  call('HSET', GATE, unpack(fields))
  return 'loaded'
end

-- Gives the loaded slot its share of the units, unless some buyers are missing.
local function seal(share, buyers)
  if call('HLEN', GATE) ~= tonumber(buyers) then
    return redis.error_reply('SHORT the gate holds ' .. call('HLEN', GATE) .. ' buyers, ' .. buyers .. ' were loaded')
  end
  call('HSET', META, 'state', 'loaded', 'remaining', share, 'open', 0, 'returned', 0, 'moved', 0, 'transfers', '')
  return 'sealed'
end

-- A node lost its part of this term: no slot of it may sell again, wherever its hash slot may move to.
local function shut()
  call('HSET', META, 'state', 'lost')
  return 'shut'
end

local epoch, nonce, state, loader, remaining, open, returned, moved, transfers = unpack(
  call('HMGET', META, 'epoch', 'nonce', 'state', 'loader', 'remaining', 'open', 'returned', 'moved', 'transfers')
)
if epoch ~= EPOCH or nonce ~= NONCE then
  return NOT_OPEN
elseif state == 'open' then
  remaining, open = tonumber(remaining), tonumber(open)
  if operation == 'reserve' then
    local left, answer = reserve(remaining, open, tonumber(ARGV[3]))
    return { { left, returned, moved, transfers }, unpack(answer) }
  elseif operation == 'finish' then
    return finish(remaining, open)
  elseif operation == 'state' then
    -- What a decision over all slots needs to know of this one.
    return { remaining, returned, moved, transfers }
  elseif operation == 'debit' then
    return debit(tonumber(ARGV[2]), tonumber(ARGV[3]), remaining, transfers)
  elseif operation == 'credit' then
    return credit(tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), remaining)
  elseif operation == 'clear' then
    return clear(tonumber(ARGV[2]), tonumber(ARGV[3]), transfers)
  elseif operation == 'list' then
    return list(ARGV[2], ARGV[3], tonumber(ARGV[4]))
  elseif operation == 'mark' then
    return mark(tonumber(ARGV[3]))
  elseif operation == 'shut' then
    return shut()
  end
elseif state == 'loading' and loader == ARGV[3] then
  if operation == 'load' then
    return load()
  elseif operation == 'seal' then
    return seal(ARGV[4], ARGV[5])
  end
elseif state == 'loaded' and loader == ARGV[3] and operation == 'open' then
  call('HSET', META, 'state', 'open')
  return 'opened'
end
return NOT_OPEN
