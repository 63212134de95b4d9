-- Forget a dead epoch, once none of its calls is open. The rescue stays as a mark, in case that epoch wakes up.
--
-- KEYS: the rescue, the nodes, the open calls of the dead epoch
-- ARGV: the dead epoch, the rescuer's epoch, time to live of the mark in ms
-- Returns 'ended', 'open' (there are calls) or 'lost' (another epoch does it).

if redis.call('GET', KEYS[1]) ~= ARGV[2] then
  return 'lost'
end
if redis.call('HLEN', KEYS[3]) > 0 then
  return 'open'
end
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('SET', KEYS[1], 'ended', 'PX', ARGV[3])
return 'ended'
