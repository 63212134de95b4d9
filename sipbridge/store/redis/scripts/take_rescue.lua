-- Begin or go on to take over a node that counts as dead. One epoch at a time does that.
--
-- KEYS: the rescue, the lease of the dead node, the nodes
-- ARGV: the dead epoch, the rescuer's epoch, time to live in ms
-- Returns 'taken', 'held' (another epoch does it), 'alive' (the epoch has its lease) or 'gone' (it was taken over, or left).

if redis.call('HEXISTS', KEYS[3], ARGV[1]) == 0 then
  return 'gone'
end
if redis.call('HGET', KEYS[2], 'epoch') == ARGV[1] then
  return 'alive'
end
local rescuer = redis.call('GET', KEYS[1])
if rescuer and rescuer ~= ARGV[2] then
  return 'held'
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 'taken'
