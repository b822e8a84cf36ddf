-- sharded-slots: starts an opening in one slot and throws away what older epochs left there.
--
-- Sent as text, because the script of the opening is loaded only after every slot has begun: a term
-- begins once, and only who began it loads its script, once. So no later call can bring back to
-- life what a node has lost: lost-server-noticed (R13).
--
-- KEYS: META. ARGV: epoch, nonce, number of slots, loader, and `loading`, or `retired` for a slot
-- that the new epoch does not have. Answers 0, or the epoch that stands in the way.
local META, EPOCH = KEYS[1], ARGV[1]
local known = redis.call('HGET', META, 'epoch')
if known and tonumber(known) >= tonumber(EPOCH) then
  return tonumber(known)
elseif known then
  -- Names of an older epoch: these keys with its number in them, so in the same hash slot.
  local older = string.gsub(META, 'meta$', known)
  redis.call('UNLINK', older .. ':gate', older .. ':holds')
end
redis.call('UNLINK', META)
redis.call('HSET', META, 'epoch', EPOCH, 'nonce', ARGV[2], 'slots', ARGV[3], 'loader', ARGV[4], 'state', ARGV[5])
return 0
