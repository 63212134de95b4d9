-- Release chats of an owner that stops, drains or is dead: from now on they wait for another one.
-- The term of each is raised, so the former owner changes nothing in it any more.
--
-- KEYS: the owner's chats in progress, its chats with events for the webhook, the waiting chats, the last term
-- ARGV: 1 or 0: also the chats that are over and have events for the webhook, key prefix of chats, chats at most
-- Returns the uids of chats in progress that were released, then those of others; both are empty once none is left.

local most = tonumber(ARGV[3])
local term = redis.call('INCR', KEYS[4])

local function wait(uid)
  local started_at = redis.call('HGET', ARGV[2] .. uid, 'started_at')
  if started_at then
    redis.call('HSET', ARGV[2] .. uid, 'term', term, 'revision', 0, 'step', 0)
    redis.call('ZADD', KEYS[3], started_at, uid)
  end
  redis.call('SREM', KEYS[2], uid)
end

local open = redis.call('ZRANGE', KEYS[1], 0, most - 1)
for _, uid in ipairs(open) do
  wait(uid)
  redis.call('ZREM', KEYS[1], uid)
end
local undelivered = {}
if ARGV[1] == '1' and #open < most then
  undelivered = redis.call('SRANDMEMBER', KEYS[2], most - #open)
  for _, uid in ipairs(undelivered) do
    wait(uid)
  end
end
return {open, undelivered}
