-- Erase chats that are over.
--
-- KEYS: the chats of the project, then the id of a chat at the bot, or the chats with a shared id
-- ARGV: 'chat_id' or 'shared_id', project part of keys, key prefixes of chats, entries, events, files, ids at the bot
--   and shared ids
-- Returns their number.

local uids
if ARGV[1] == 'chat_id' then
  uids = {redis.call('GET', KEYS[2]) or nil}
else
  uids = redis.call('ZRANGE', KEYS[2], 0, -1)
end

local erased = 0
for _, uid in ipairs(uids) do
  local chat = redis.call('HMGET', ARGV[3] .. uid, 'over', 'chat_id', 'shared_id')
  if chat[1] == '1' then
    redis.call('DEL', ARGV[3] .. uid, ARGV[4] .. uid, ARGV[5] .. uid, ARGV[6] .. uid,
      ARGV[7] .. ARGV[2] .. ':' .. chat[2])
    redis.call('ZREM', KEYS[1], uid)
    redis.call('ZREM', ARGV[8] .. ARGV[2] .. ':' .. chat[3], uid)
    erased = erased + 1
  end
end
return erased
