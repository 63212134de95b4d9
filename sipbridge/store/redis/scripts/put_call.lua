-- Write the record of a call, unless what is stored is as new or newer, and an event with its new milestones, if any.
--
-- KEYS: the call, the calls of its project, the calls with its shared id, its erasure, the last term, what was announced
--   of it, the events of the project;
--   if its webhook waits for events, the calls of the node of which that is true, with the position of each
-- ARGV: term, revision, call id, shared id, start, body, retention in ms, key prefixes of calls and of shared ids,
--   the sequence of its last milestone, number of events to keep; the first position
-- Returns 'written', 'superseded' (another owner has written it) or 'erased'.

local term, revision = tonumber(ARGV[1]), tonumber(ARGV[2])
local call_id, shared_id, started_at, body, retention = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]

-- A Redis that has lost its data must not give out a term that is in use.
if term > tonumber(redis.call('GET', KEYS[5]) or '0') then
  redis.call('SET', KEYS[5], term)
end

-- What the node that erased the call has put after that is a new record; what any other node had pending is not.
local erasure = redis.call('GET', KEYS[4])
if erasure then
  local by, at = string.match(erasure, '^(%d+):(%d+)$')
  if tonumber(by) ~= term or tonumber(at) > revision then
    return 'erased'
  end
end

local stored = redis.call('HMGET', KEYS[1], 'term', 'revision', 'shared_id', 'sequence')
local stored_term, stored_revision = tonumber(stored[1] or '-1'), tonumber(stored[2] or '-1')
if stored_term > term then
  return 'superseded'
end
if stored_term == term and stored_revision >= revision then
  return 'written'
end
if stored[3] and stored[3] ~= shared_id then
  redis.call('ZREM', ARGV[9] .. stored[3], call_id)
end

redis.call('HSET', KEYS[1], 'term', term, 'revision', revision, 'shared_id', shared_id, 'started_at', started_at,
  'body', body)
redis.call('PEXPIRE', KEYS[1], retention)
if KEYS[8] then
  redis.call('HSETNX', KEYS[8], call_id, ARGV[12])
  redis.call('PEXPIRE', KEYS[8], retention)
end

local before = tonumber(stored[4] or redis.call('HGET', KEYS[6], 'sequence') or '0')
local sequence = math.max(before, tonumber(ARGV[10]))
redis.call('XADD', KEYS[7], 'MAXLEN', '~', ARGV[11], '*', 'call', call_id, 'after', before, 'until', sequence)
redis.call('PEXPIRE', KEYS[7], retention)
redis.call('HSET', KEYS[1], 'sequence', sequence)
redis.call('DEL', KEYS[6])

-- Each new call removes two of the oldest whose record has expired. An index expires with its last record.
for _, index in ipairs({KEYS[2], KEYS[3]}) do
  if redis.call('ZADD', index, started_at, call_id) == 1 then
    for _, oldest in ipairs(redis.call('ZRANGE', index, 0, 1)) do
      if redis.call('EXISTS', ARGV[8] .. oldest) == 0 then
        redis.call('ZREM', index, oldest)
      end
    end
  end
  redis.call('PEXPIRE', index, retention)
end
return 'written'
