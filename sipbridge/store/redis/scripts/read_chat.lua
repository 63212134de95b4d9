-- Read a chat, without its files, in one state.
--
-- KEYS: the chat, its entries, its events
-- Returns its body, its term, its entries and its events, or nothing.

local chat = redis.call('HMGET', KEYS[1], 'body', 'term')
if not chat[1] then
  return {}
end
local events = {}
for _, event in ipairs(redis.call('XRANGE', KEYS[3], '-', '+')) do
  table.insert(events, event[2][2])
end
return {chat[1], chat[2], redis.call('LRANGE', KEYS[2], 0, -1), events}
