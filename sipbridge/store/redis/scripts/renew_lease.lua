-- Renew the lease of a node, and read the nodes if they have changed.
-- All nodes are read at a change only, since reading them with each renewal would cost the square of their number.
--
-- KEYS: the lease, the nodes, their last change, the rescue of this epoch
-- ARGV: epoch, number of the renewal, time to live in ms, description of the node as JSON, the change up to which it
--   knows the nodes, the epoch whose lease may be replaced, or 'any', then fields and values that the lease shows
-- Returns 'renewed', 'joined' (the nodes did not have this epoch), 'rescued' (the epoch counts as dead) or 'displaced'
--   (another epoch has the lease of this id), then the last change, and if the node does not know that, of each node its
--   epoch and its description.

local epoch = ARGV[1]
local state = 'renewed'
local holder = redis.call('HGET', KEYS[1], 'epoch')
if redis.call('EXISTS', KEYS[4]) == 1 then
  state = 'rescued'
elseif holder and holder ~= epoch and holder ~= ARGV[6] and ARGV[6] ~= 'any' then
  state = 'displaced'
else
  if redis.call('HSET', KEYS[2], epoch, ARGV[4]) == 1 then
    state = 'joined'
    redis.call('SET', KEYS[3], 'joined:' .. epoch .. ':' .. ARGV[2])
  end
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'renewal', ARGV[2], unpack(ARGV, 7))
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end

local change = redis.call('GET', KEYS[3]) or ''
if change == ARGV[5] then
  return {state, change}
end
return {state, change, redis.call('HGETALL', KEYS[2])}
