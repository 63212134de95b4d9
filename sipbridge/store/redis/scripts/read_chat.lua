-- Read a chat, without its files, in one state.
--
-- KEYS: the chat, its entries, its events
-- Returns its body, its entries and its events, or nothing.

local body = redis.call('HGET', KEYS[1], 'body')
if not body then
  return {}
end
local events = {}
for _, event in ipairs(redis.call('XRANGE', KEYS[3], '-', '+')) do
  table.insert(events, event[2][2])
end
return {body, redis.call('LRANGE', KEYS[2], 0, -1), events}
