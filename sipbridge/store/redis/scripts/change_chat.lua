-- Write a change of a chat: a new version of the record and entries, all or nothing, and once.
--
-- KEYS: the chat, its entries, its events, its files, the node's chats in progress, those with events for the webhook
-- ARGV: term, revision, uid, step or 0, retention in ms while in progress, and once over,
--   key prefixes of ids at the bot, of indexes of projects and of shared ids,
--   1 or 0 for a record, its shared id, 1 or 0 for over, its body,
--   then of each entry: kind ('event', 'file' or a number), number of an event or file, body
-- Returns 'written', 'unknown', 'superseded' (another owner has written the chat), 'early' (an earlier step is missing)
--   or 'repeated' (an event's sequence)

local term, revision, uid, step = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local chat = redis.call('HMGET', KEYS[1], 'term', 'revision', 'project', 'chat_id', 'shared_id', 'started_at', 'over',
  'step')
if not chat[1] then
  return 'unknown'
end
if tonumber(chat[1]) > term then
  return 'superseded'
end
if tonumber(chat[1]) == term and tonumber(chat[2]) >= revision then
  return 'written'
end
local last_step = tonumber(chat[1]) == term and tonumber(chat[8] or '0') or 0
if step > last_step + 1 then
  return 'early'
elseif step > 0 and step <= last_step then
  return 'written'
end

local newest = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)[1]
local sequence = newest and tonumber(string.match(newest[1], '^%d+')) or 0
for i = 14, #ARGV, 3 do
  if ARGV[i] == 'event' then
    if tonumber(ARGV[i + 1]) <= sequence then
      return 'repeated'
    end
    sequence = tonumber(ARGV[i + 1])
  end
end

for i = 14, #ARGV, 3 do
  local kind, number, body = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if kind == 'event' then
    redis.call('XADD', KEYS[3], number .. '-0', 'event', body)
    redis.call('SADD', KEYS[6], uid)
  elseif kind == 'file' then
    redis.call('HSET', KEYS[4], number, body)
  else
    redis.call('RPUSH', KEYS[2], kind .. ':' .. body)
  end
end

redis.call('HSET', KEYS[1], 'term', term, 'revision', revision, 'step', math.max(step, last_step))
local shared_id, over = chat[5], chat[7]
local project_index = ARGV[8] .. chat[3]
if ARGV[10] == '1' then
  over = ARGV[12]
  redis.call('HSET', KEYS[1], 'shared_id', ARGV[11], 'over', over, 'body', ARGV[13])
  if shared_id ~= ARGV[11] then
    redis.call('ZREM', ARGV[9] .. chat[3] .. ':' .. shared_id, uid)
    shared_id = ARGV[11]
    redis.call('ZADD', ARGV[9] .. chat[3] .. ':' .. shared_id, chat[6], uid)
  end
end

-- An index expires no sooner than its last chat. One of a single chat expires with it, since its key has the shared id.
local retention, shared_index = ARGV[5], ARGV[9] .. chat[3] .. ':' .. shared_id
if over == '1' then
  retention = ARGV[6]
  redis.call('ZREM', KEYS[5], uid)
  if redis.call('ZCARD', shared_index) == 1 then
    redis.call('PEXPIRE', shared_index, retention)
  end
end
for _, index in ipairs({project_index, shared_index}) do
  redis.call('PEXPIRE', index, retention, 'NX')
  redis.call('PEXPIRE', index, retention, 'GT')
end
for _, key in ipairs({KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[7] .. chat[3] .. ':' .. chat[4]}) do
  redis.call('PEXPIRE', key, retention)
end
return 'written'
