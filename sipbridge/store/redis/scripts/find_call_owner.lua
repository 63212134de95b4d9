-- Find the node that has a call among its open calls.
--
-- KEYS: the nodes
-- ARGV: call id, key prefixes of open calls and of leases, the epoch that asks
-- Returns of another node its epoch, its description, and the epoch that has its lease or ''; or false.

local nodes = redis.call('HGETALL', KEYS[1])
for i = 1, #nodes, 2 do
  if nodes[i] ~= ARGV[4] and redis.call('HEXISTS', ARGV[2] .. nodes[i], ARGV[1]) == 1 then
    return {nodes[i], nodes[i + 1], redis.call('HGET', ARGV[3] .. cjson.decode(nodes[i + 1]).id, 'epoch') or ''}
  end
end
return false
