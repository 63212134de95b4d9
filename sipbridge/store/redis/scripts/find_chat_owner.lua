-- Find the node that carries a chat.
--
-- KEYS: the id of the chat at the bot, the nodes
-- ARGV: key prefixes of chats in progress and of leases, the id of the node that asks
-- Returns of another node its epoch, its description, and the epoch that has its lease or ''; or false.

local uid = redis.call('GET', KEYS[1])
if not uid then
  return false
end
local found = false
local nodes = redis.call('HGETALL', KEYS[2])
for i = 1, #nodes, 2 do
  local id = cjson.decode(nodes[i + 1]).id
  if id ~= ARGV[3] and redis.call('ZSCORE', ARGV[1] .. id, uid) then
    local holder = redis.call('HGET', ARGV[2] .. id, 'epoch') or ''
    if holder == nodes[i] or not found then
      found = {nodes[i], nodes[i + 1], holder}
    end
  end
end
return found
