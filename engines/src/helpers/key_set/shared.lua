-- What the scripts of all engines in Redis have in common: the key set, its records, and every
-- operation in which they do not differ. In front of this text stands a line with its name, `local
-- SCRIPT = '<sha1>'`; behind it, the engine's own text. A server is given the whole once, whatever
-- is opened on it.
--
-- KEYS (one hash slot):
--   META   hash: epoch, nonce, script (the name of the text that began the term), lives (of every
--          primary when it was begun), state, loader, remaining, open (units in open holds), and
--          what the engine adds
--   GATE   hash: user -> order, quantity. Who may not buy again; the epoch is in its name.
--   HOLDS  hash: order -> user, quantity, touched, marked, incarnations… Granted and not settled;
--          the epoch is in its name.
-- ARGV: epoch and nonce of the term, the operation, then its arguments. Records are packed,
-- little-endian, without padding; ids stay strings of 8 bytes, because a Lua number cannot hold an
-- i64. A call carries at most 1,000 records, so that every unpack() stays far below Lua's limit of
-- about 8,000 values and a call never blocks the server for more than milliseconds.
local META, GATE, HOLDS = KEYS[1], KEYS[2], KEYS[3]
local EPOCH, NONCE, operation, batch = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local call, sub, pack, parse = redis.call, string.sub, struct.pack, struct.unpack
local find = string.find

local NOT_OPEN = 'N'
local GATE_QUANTITY_AT = 9 -- after the order
local HOLD_QUANTITY_AT = 9 -- after the user
local HOLD_TOUCHED_AT = 13
local HOLD_MARKED_AT = 21
local HOLD_INCARNATIONS_AT = 22
-- Incarnations remembered per hold; beyond that the buyer is told "busy", so that none is ever
-- forgotten: mark-with-age (R8).
local INCARNATIONS_MAX = 64

-- The life of this server, `run_id:master_replid`. It ends when the process ends, when the server
-- gets the data of another or is promoted, and also with its first replica. Redis before 7 refuses
-- to tell both at once.
local ID_BYTES = 40
local function life()
  local info = call('INFO', 'server', 'replication')
  local _, run_at = find(info, 'run_id:', 1, true)
  local _, replication_at = find(info, 'master_replid:', 1, true)
  local run = sub(info, run_at + 1, run_at + ID_BYTES)
  return run .. ':' .. sub(info, replication_at + 1, replication_at + ID_BYTES)
end

-- Whether this server is none of those that the term was begun on: what it holds may be older than
-- what others were told, lost-server-noticed (R13). Then the term is over for good, wherever the
-- keys may move to.
local function is_elsewhere(lives)
  if find(lives, life(), 1, true) then
    return false
  end
  redis.pcall('HSET', META, 'state', 'lost') -- A replica may not, and need not.
  return true
end

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

-- Record: user 8, order 8, kind 1 (0 settle, 1 release). Answers one letter per record: D done, A
-- already done.
-- Quantities come from the gate and the hold, never from the caller, so what comes back is what was
-- taken. Says also whether any units came back.
local FINISH_BYTES = 17
local function finish(remaining, open)
  local users, orders, releases = {}, {}, {}
  local before, any_release = remaining, false
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
  return table.concat(letters), remaining > before
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

-- Record: user 8, order 8, quantity 4. The buyers who may not buy again; all are settled.
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

-- An error unless the gate holds exactly so many buyers.
local function missing_buyers(buyers)
  local held = call('HLEN', GATE)
  if held ~= tonumber(buyers) then
    return redis.error_reply('SHORT the gate holds ' .. held .. ' buyers, ' .. buyers .. ' were loaded')
  end
end

