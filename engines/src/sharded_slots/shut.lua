-- sharded-slots: a node has lost its part of a term, so that no slot of it may sell again, wherever
-- its hash slot may move to: lost-server-noticed (R13). Sent as text, because that node may have
-- lost the script as well.
--
-- KEYS: META. ARGV: epoch, nonce. Repeating it changes nothing, nor does it touch another term.
local epoch, nonce = unpack(redis.call('HMGET', KEYS[1], 'epoch', 'nonce'))
if epoch == ARGV[1] and nonce == ARGV[2] then
  redis.call('HSET', KEYS[1], 'state', 'lost')
end
return 0
