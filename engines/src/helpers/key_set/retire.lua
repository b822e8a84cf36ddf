-- Forgets one key set of a sale that is over. Sent as text, because it belongs to no opening.
--
-- KEYS: META, a hash whose `epoch` is in the names of the other two; all are in one hash slot.
-- UNLINK takes them out immediately and leaves the freeing to a thread of its own, so the call is
-- short however many buyers there were.
local META = KEYS[1]
local epoch = redis.call('HGET', META, 'epoch')
if epoch then
  local base = string.gsub(META, 'meta$', epoch)
  redis.call('UNLINK', base .. ':gate', base .. ':holds')
end
redis.call('UNLINK', META)
return 0
