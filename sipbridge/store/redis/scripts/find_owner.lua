-- Find the node that has a call among its open calls.
--
-- KEYS: the nodes
-- ARGV: call id, key prefix of open calls, the epoch that asks
-- Returns the description of another node, or false.

local nodes = redis.call('HGETALL', KEYS[1])
for i = 1, #nodes, 2 do
  if nodes[i] ~= ARGV[3] and redis.call('HEXISTS', ARGV[2] .. nodes[i], ARGV[1]) == 1 then
    return nodes[i + 1]
  end
end
return false
