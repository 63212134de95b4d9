-- Note that the webhook of a chat has got its events up to a sequence. It never goes back.
--
-- KEYS: the chat, its events, the chats with events for the webhook
-- ARGV: uid, sequence

local delivered = redis.call('HGET', KEYS[1], 'delivered')
if not delivered then
  redis.call('SREM', KEYS[3], ARGV[1])
  return
end
local sequence = math.max(tonumber(delivered), tonumber(ARGV[2]))
redis.call('HSET', KEYS[1], 'delivered', sequence)
local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
if not newest or tonumber(string.match(newest[1], '^%d+')) <= sequence then
  redis.call('SREM', KEYS[3], ARGV[1])
end
