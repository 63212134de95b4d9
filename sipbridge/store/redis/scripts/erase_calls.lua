-- Erase the records of calls, and keep records that other nodes have pending from being written later.
--
-- KEYS: the calls of the project, and, to erase by shared id, the calls with it
-- ARGV: term, revision, retention in ms, key prefixes of calls, of shared ids, of erasures and of what was announced, then call ids
-- Returns the ids of the calls that had a record.

local call_ids = {}
for i = 8, #ARGV do
  table.insert(call_ids, ARGV[i])
end
if KEYS[2] then
  for _, call_id in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
    table.insert(call_ids, call_id)
  end
end

local erased = {}
for _, call_id in ipairs(call_ids) do
  local key = ARGV[4] .. call_id
  local shared_id = redis.call('HGET', key, 'shared_id')
  if shared_id then
    redis.call('DEL', key)
    redis.call('ZREM', KEYS[1], call_id)
    redis.call('ZREM', ARGV[5] .. shared_id, call_id)
    table.insert(erased, call_id)
  end
  redis.call('DEL', ARGV[7] .. call_id)
  redis.call('SET', ARGV[6] .. call_id, ARGV[1] .. ':' .. ARGV[2], 'PX', ARGV[3])
end
return erased
