-- Renew the lease of a node, and read the nodes.
--
-- KEYS: the lease, the nodes, the rescue of this epoch
-- ARGV: epoch, number of the renewal, time to live in ms, description of the node as JSON, key prefix of leases,
--   the epoch whose lease may be replaced, or 'any', then fields and values that the lease shows
-- Returns a list: 'renewed', 'joined' (the nodes did not have this epoch), 'rescued' (the epoch counts as dead) or
--   'displaced' (another epoch has the lease of this id), then of each node its epoch, its description, the number of
--   its last renewal, which is empty if it has no lease, and 1 if it drains.

local epoch = ARGV[1]
local state = 'renewed'
local holder = redis.call('HGET', KEYS[1], 'epoch')
if redis.call('EXISTS', KEYS[3]) == 1 then
  state = 'rescued'
elseif holder and holder ~= epoch and holder ~= ARGV[6] and ARGV[6] ~= 'any' then
  state = 'displaced'
else
  if redis.call('HSET', KEYS[2], epoch, ARGV[4]) == 1 then
    state = 'joined'
  end
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'renewal', ARGV[2], unpack(ARGV, 7))
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end

local found = {state}
local nodes = redis.call('HGETALL', KEYS[2])
for i = 1, #nodes, 2 do
  local lease = redis.call('HMGET', ARGV[5] .. cjson.decode(nodes[i + 1]).id, 'epoch', 'renewal', 'draining')
  table.insert(found, nodes[i])
  table.insert(found, nodes[i + 1])
  table.insert(found, lease[1] == nodes[i] and lease[2] or '')
  table.insert(found, lease[1] == nodes[i] and lease[3] or '')
end
return found
