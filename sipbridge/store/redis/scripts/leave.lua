-- Give up the lease of a node that stops. If it leaves calls or chats, it stays among the nodes, and is taken over.
--
-- KEYS: the lease, the nodes, their last change, its open calls, its chats in progress, its chats with events for the
--   webhook, the number of the last write of its open calls
-- ARGV: epoch, time in ms for which a write of its open calls may still be on its way

if redis.call('EXISTS', KEYS[4], KEYS[5], KEYS[6]) == 0 and redis.call('HDEL', KEYS[2], ARGV[1]) == 1 then
  redis.call('SET', KEYS[3], 'left:' .. ARGV[1])
  redis.call('PEXPIRE', KEYS[7], ARGV[2])
end
if redis.call('HGET', KEYS[1], 'epoch') == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 'ok'
