-- lua-single-key: one key set per sale, one call per batch. Runs atomically inside Redis, behind
-- helpers/key_set/shared.lua, which says what the keys and records are.
--
-- It is called by its SHA1 only, and only an opening loads it: a server that restarted or was
-- replaced answers NOSCRIPT, or finds that it is not the one that the term was opened on. Both mean
-- "not open": lost-server-noticed (R13).
--
-- META's state is one of loading, open, lost.

-- Record: user 8, order 8, quantity 4, expires_at_ms 8 (double), incarnation 8, may_sell 1. Answers
-- one letter per record, then what the letters D (order, quantity) and S (units left) need, in
-- order; a lower-case d is a settled duplicate, B busy, E expired, O no order and not to be sold
-- to, Q a quantity of nothing.
local RESERVE_BYTES = 37
local function reserve(remaining, open)
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
  local letters, details, tails = {}, {}, {}

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
    elseif may_sell == 0 then
      letters[i] = 'O'
    elseif quantity > remaining then
      letters[i] = 'S'
      details[#details + 1] = remaining
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
  return { table.concat(letters), unpack(details) }
end

-- Starts an opening, or starts it over, and throws away what older epochs left. Runs in one
-- transaction with the SCRIPT LOAD, so that nothing can be sold in between. A term that was open in
-- an earlier life of the server (its AOF brought it back, perhaps without the last second) is shut
-- for good: a new attempt takes a new epoch, lost-server-noticed (R13).
local function begin(loader)
  local epoch, nonce, script, lives, state =
    unpack(call('HMGET', META, 'epoch', 'nonce', 'script', 'lives', 'state'))
  local here = life()
  if epoch and (tonumber(epoch) > tonumber(EPOCH) or epoch == EPOCH and nonce ~= NONCE) then
    return { 'stale', tonumber(epoch) }
  elseif epoch == EPOCH and state == 'open' and script == SCRIPT and lives == here then
    return { 'open' }
  elseif epoch == EPOCH and state ~= 'loading' then
    call('HSET', META, 'state', 'lost')
    return { 'stale', tonumber(epoch) }
  elseif epoch then
    -- Names of an older epoch: these keys with its number in them, so in the same slot.
    local older = string.gsub(META, 'meta$', epoch)
    call('UNLINK', older .. ':gate', older .. ':holds')
  end
  call('UNLINK', META, GATE, HOLDS)
  call('HSET', META, 'epoch', EPOCH, 'nonce', NONCE, 'script', SCRIPT, 'lives', here, 'state', 'loading', 'loader', loader)
  return { 'begun' }
end

-- Opens what was loaded, unless some of it is missing.
local function open_sale(granted, buyers)
  local missing = missing_buyers(buyers)
  if missing then
    return missing
  end
  call('HSET', META, 'state', 'open', 'remaining', granted, 'open', 0)
  return 'opened'
end

if operation == 'begin' then
  return begin(ARGV[4])
end
local epoch, nonce, script, lives, state, remaining, open, loader =
  unpack(call('HMGET', META, 'epoch', 'nonce', 'script', 'lives', 'state', 'remaining', 'open', 'loader'))
if epoch ~= EPOCH or nonce ~= NONCE or script ~= SCRIPT or is_elsewhere(lives) then
  return NOT_OPEN
elseif state == 'open' then
  remaining, open = tonumber(remaining), tonumber(open)
  if operation == 'reserve' then
    return reserve(remaining, open)
  elseif operation == 'finish' then
    return (finish(remaining, open))
  elseif operation == 'list' then
    return list(ARGV[4], ARGV[5], tonumber(ARGV[6]))
  elseif operation == 'mark' then
    return mark(tonumber(ARGV[5]))
  elseif operation == 'look' then
    return 'open'
  end
elseif state == 'loading' and loader == ARGV[5] then
  if operation == 'load' then
    return load()
  elseif operation == 'open' then
    return open_sale(ARGV[6], ARGV[7])
  end
end
return NOT_OPEN
