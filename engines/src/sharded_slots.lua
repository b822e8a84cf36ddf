-- sharded-slots: one slot of one sale, one call per slot and batch. Runs atomically inside Redis,
-- behind helpers/key_set/shared.lua, which says what the keys and records are, and one line more,
-- `local SLOTS = '<slots>'`, so that a process that counts the slots differently has another script
-- and looks for nobody in the wrong home.
--
-- It is called by its SHA1 only, and only an opening loads it: a node that restarted or was
-- replaced answers NOSCRIPT, or finds that it is none of those that the term was begun on. Both
-- mean "not open": lost-server-noticed (R13).
--
-- META has also: slots, returned (times that units came back), moved (steps of transfers),
-- transfers (those out of here that are not known to have arrived), out:<slot> (number of the last
-- transfer to that slot), in:<slot> (number of the last transfer credited from there, kept for the
-- whole epoch: units-in-one-place (R16)). Its state is one of loading, loaded, open, lost, retired.

-- Record: user 8, order 8, quantity 4, expires_at_ms 8 (double), incarnation 8, may_sell 1. Sells
-- only if at least `threshold` units are left: all that asks for units here is granted, or nothing
-- is. Answers what is left, then one letter per record, then what the letter D (order, quantity)
-- needs, in order; a lower-case d is a settled duplicate, B busy, E expired, O no order and not to
-- be sold to, Q a quantity of nothing, W undecided: it wants units that it was not given (no slot
-- alone can call a sale sold out), or it follows such a request of the same user.
local RESERVE_BYTES = 37
local function reserve(remaining, open, threshold)
  local is_selling = remaining >= threshold
  local now, count = clock_ms(), #batch / RESERVE_BYTES
  local users = {}
  for i = 1, count do
    users[i] = sub(batch, (i - 1) * RESERVE_BYTES + 1, (i - 1) * RESERVE_BYTES + 8)
  end
  local gates = call('HMGET', GATE, unpack(users))
  -- What this batch grants is collected as field, value, field, value, … and written at the end;
  -- `granted_at` finds a user's grant again, so that a user who is twice in a batch is treated as
  -- if one request came after the other.
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
      letters[i] = 'E' -- deadline-before-reserve (R7): its caller may have given up
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

-- A transfer in META's `transfers`: target 2, number 4, quantity 8 (double).
local TRANSFER, TRANSFER_BYTES = '<I2I4d', 14

-- Where in `transfers` the transfer to `target` is, if there is one, with its number and quantity.
local function find_transfer(transfers, target)
  for at = 1, #transfers, TRANSFER_BYTES do
    local to, number, quantity = parse(TRANSFER, transfers, at)
    if to == target then
      return at, number, quantity
    end
  end
end

-- First step of a transfer: up to `wanted` units leave for `target`. They are on record here until
-- they are known to have arrived, so that anybody can finish what a crash interrupted. One transfer
-- at a time to each slot: while one is on its way it is answered again. Answers number and
-- quantity.
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

-- Second step: the units arrive, once; a late duplicate finds its number used:
-- units-in-one-place (R16).
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

-- Starts an opening in one slot and throws away what older epochs left there. A term begins once;
-- `state` is `loading`, or `retired` for a slot that the new epoch does not have. Answers 0, or the
-- epoch that stands in the way.
local function begin(loader, state, lives)
  local known = call('HGET', META, 'epoch')
  if known and tonumber(known) >= tonumber(EPOCH) then
    return tonumber(known)
  elseif not find(lives, life(), 1, true) then
    return NOT_OPEN
  elseif known then
    -- Names of an older epoch: these keys with its number in them, so in the same hash slot.
    local older = string.gsub(META, 'meta$', known)
    call('UNLINK', older .. ':gate', older .. ':holds')
  end
  call('UNLINK', META)
  call('HSET', META, 'epoch', EPOCH, 'nonce', NONCE, 'script', SCRIPT, 'lives', lives)
  call('HSET', META, 'slots', SLOTS, 'loader', loader, 'state', state)
  return 0
end

-- Gives the loaded slot its share of the units, unless some buyers are missing.
local function seal(share, buyers)
  local missing = missing_buyers(buyers)
  if missing then
    return missing
  end
  call('HSET', META, 'state', 'loaded', 'remaining', share, 'open', 0, 'returned', 0, 'moved', 0, 'transfers', '')
  return 'sealed'
end

if operation == 'begin' then
  return begin(ARGV[4], ARGV[5], ARGV[6])
end
local epoch, nonce, script, lives, state, loader, remaining, open, returned, moved, transfers = unpack(
  call(
    'HMGET',
    META,
    'epoch',
    'nonce',
    'script',
    'lives',
    'state',
    'loader',
    'remaining',
    'open',
    'returned',
    'moved',
    'transfers'
  )
)
if epoch ~= EPOCH or nonce ~= NONCE or script ~= SCRIPT or is_elsewhere(lives) then
  return NOT_OPEN
elseif state == 'open' then
  remaining, open = tonumber(remaining), tonumber(open)
  if operation == 'reserve' then
    local left, answer = reserve(remaining, open, tonumber(ARGV[5]))
    return { { left, returned, moved, transfers }, unpack(answer) }
  elseif operation == 'finish' then
    local letters, has_returned = finish(remaining, open)
    if has_returned then
      call('HINCRBY', META, 'returned', 1)
    end
    return letters
  elseif operation == 'state' then
    -- What a decision over all slots needs to know of this one.
    return { remaining, returned, moved, transfers }
  elseif operation == 'debit' then
    return debit(tonumber(ARGV[4]), tonumber(ARGV[5]), remaining, transfers)
  elseif operation == 'credit' then
    return credit(tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), remaining)
  elseif operation == 'clear' then
    return clear(tonumber(ARGV[4]), tonumber(ARGV[5]), transfers)
  elseif operation == 'list' then
    return list(ARGV[4], ARGV[5], tonumber(ARGV[6]))
  elseif operation == 'mark' then
    return mark(tonumber(ARGV[5]))
  end
elseif state == 'loading' and loader == ARGV[5] then
  if operation == 'load' then
    return load()
  elseif operation == 'seal' then
    return seal(ARGV[6], ARGV[7])
  end
elseif state == 'loaded' and loader == ARGV[5] and operation == 'open' then
  call('HSET', META, 'state', 'open')
  return 'opened'
end
return NOT_OPEN
