-- Begin or go on to take over a node that counts as dead. One epoch at a time does that.
-- The mark is for good: if the rescuer dies, too, and the dead epoch wakes up, it has nothing all the same.
--
-- KEYS: the rescuer, the rescue, the lease of the dead node, the nodes
-- ARGV: the dead epoch, the rescuer's epoch, time to live of the rescuer and of the mark in ms
-- Returns 'taken', 'held' (another epoch does it), 'alive' (the epoch has its lease) or 'gone' (it was taken over, or left).

if redis.call('HEXISTS', KEYS[4], ARGV[1]) == 0 then
  return 'gone'
end
if redis.call('HGET', KEYS[3], 'epoch') == ARGV[1] then
  return 'alive'
end
local rescuer = redis.call('GET', KEYS[1])
if rescuer and rescuer ~= ARGV[2] then
  return 'held'
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[4])
return 'taken'
