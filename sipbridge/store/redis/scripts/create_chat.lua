-- Write a new chat, unless its project has a chat with the same id.
--
-- KEYS: the chat, its id at the bot, the chats of its project, those with its shared id, the node's chats in progress,
--   the last term, the rescue of the node's epoch
-- ARGV: term, revision, uid, project part of keys, chat id, shared id, start, body, retention in ms,
--   key prefix of chats
-- Returns the body of the chat that is stored, or false if another chat has the uid. Fails if the node was taken over.

local term, uid, started_at, body, retention = tonumber(ARGV[1]), ARGV[3], ARGV[7], ARGV[8], ARGV[9]

if term > tonumber(redis.call('GET', KEYS[6]) or '0') then
  redis.call('SET', KEYS[6], term)
end

local known = redis.call('GET', KEYS[2])
local stored = known and redis.call('HGET', ARGV[10] .. known, 'body')
if stored then
  return stored
end
if redis.call('EXISTS', KEYS[1]) == 1 then
  return false
end
if redis.call('EXISTS', KEYS[7]) == 1 then
  return redis.error_reply('RESCUED another node has taken over the chats of this one')
end

redis.call('HSET', KEYS[1], 'term', term, 'revision', ARGV[2], 'project', ARGV[4], 'chat_id', ARGV[5],
  'shared_id', ARGV[6], 'started_at', started_at, 'over', 0, 'body', body, 'delivered', 0)
redis.call('SET', KEYS[2], uid)
redis.call('ZADD', KEYS[5], started_at, uid)
for _, index in ipairs({KEYS[3], KEYS[4]}) do
  redis.call('ZADD', index, started_at, uid)
  for _, oldest in ipairs(redis.call('ZRANGE', index, 0, 1)) do
    if redis.call('EXISTS', ARGV[10] .. oldest) == 0 then
      redis.call('ZREM', index, oldest)
    end
  end
end
for _, key in ipairs({KEYS[1], KEYS[2], KEYS[3], KEYS[4]}) do
  redis.call('PEXPIRE', key, retention)
end
return body
