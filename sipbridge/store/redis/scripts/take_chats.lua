-- Take waiting chats, oldest first. The term of each is raised, as by its release.
--
-- KEYS: the waiting chats, the taker's chats in progress, its chats with events for the webhook, the rescue of its epoch,
--   the last term
-- ARGV: chats in progress that it may take, chats to look at, key prefixes of chats and of events
-- Returns the uids of the chats that are the taker's now.

if redis.call('EXISTS', KEYS[4]) == 1 then
  return {}
end

local slots, taken, term = tonumber(ARGV[1]), {}, false
for _, uid in ipairs(redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[2]) - 1)) do
  local chat = redis.call('HMGET', ARGV[3] .. uid, 'over', 'started_at', 'delivered')
  if not chat[1] then
    redis.call('ZREM', KEYS[1], uid) -- it has expired
  elseif chat[1] == '1' or slots > 0 then
    redis.call('ZREM', KEYS[1], uid)
    if chat[1] ~= '1' then
      slots = slots - 1
      redis.call('ZADD', KEYS[2], chat[2], uid)
    end
    local newest = redis.call('XREVRANGE', ARGV[4] .. uid, '+', '-', 'COUNT', 1)[1]
    if newest and tonumber(string.match(newest[1], '^%d+')) > tonumber(chat[3]) then
      redis.call('SADD', KEYS[3], uid)
    end
    term = term or redis.call('INCR', KEYS[5])
    redis.call('HSET', ARGV[3] .. uid, 'term', term, 'revision', 0, 'step', 0)
    table.insert(taken, uid)
  end
end
return taken
