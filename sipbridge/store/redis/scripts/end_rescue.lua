-- Forget a dead epoch, once it has no open calls and no chats. The mark stays, in case that epoch wakes up, and refuses
-- its late writes, so the number of the last one is needed no longer. If calls are left, another node may try.
--
-- KEYS: the rescuer, the rescue, the nodes, their last change, the open calls of the dead epoch, its chats in progress,
--   its chats with events for the webhook, the number of the last write of its open calls, the calls that it has
--   signalled without a claim
-- ARGV: the dead epoch, the rescuer's epoch, time to live of the mark in ms
-- Returns 'ended', 'open' (there are calls or chats) or 'lost' (another epoch does it).

if redis.call('GET', KEYS[1]) ~= ARGV[2] then
  return 'lost'
end
if redis.call('EXISTS', KEYS[5], KEYS[6], KEYS[7]) > 0 then
  redis.call('DEL', KEYS[1])
  return 'open'
end
if redis.call('HDEL', KEYS[3], ARGV[1]) == 1 then
  redis.call('SET', KEYS[4], 'rescued:' .. ARGV[1])
end
redis.call('DEL', KEYS[1], KEYS[8], KEYS[9])
redis.call('SET', KEYS[2], 'ended', 'PX', ARGV[3])
return 'ended'
