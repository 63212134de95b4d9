-- Find the node that carries a chat.
--
-- KEYS: the id of the chat at the bot, the nodes
-- ARGV: key prefixes of chats in progress and of leases, the epoch that asks
-- Returns of another node its epoch, its description, and the epoch that has its lease or ''; or false.

local uid = redis.call('GET', KEYS[1])
if not uid then
  return false
end
local nodes = redis.call('HGETALL', KEYS[2])
for i = 1, #nodes, 2 do
  if nodes[i] ~= ARGV[3] and redis.call('ZSCORE', ARGV[1] .. nodes[i], uid) then
    return {nodes[i], nodes[i + 1], redis.call('HGET', ARGV[2] .. cjson.decode(nodes[i + 1]).id, 'epoch') or ''}
  end
end
return false
