-- Forgets one key set of a sale that is over. Sent as text, because it belongs to no opening.
--
-- KEYS: META, a hash whose `epoch` is in the names of the other two; all are in one hash slot.
-- ARGV: the epoch up to which it is over, and `note` if META is to say so from now on, so that an
-- older opening that comes late is stale. A later epoch is left alone.
-- UNLINK takes them out immediately and leaves the freeing to a thread of its own, so the call is
-- short however many buyers there were.
local META = KEYS[1]
local epoch = redis.call('HGET', META, 'epoch')
if epoch and tonumber(epoch) > tonumber(ARGV[1]) then
  return 0
elseif epoch then
  local base = string.gsub(META, 'meta$', epoch)
  redis.call('UNLINK', base .. ':gate', base .. ':holds')
end
redis.call('UNLINK', META)
if ARGV[2] == 'note' then
  redis.call('HSET', META, 'epoch', ARGV[1])
end
return 0
