-- Write the first milestones of a call, whose record is not stored yet. Once it is, its puts write them.
--
-- KEYS: the call, what was announced of it, the events of the project
-- ARGV: call id, the sequence of its last milestone, body, retention in ms, number of events to keep
-- Returns 'written' or 'known'.

local before = tonumber(redis.call('HGET', KEYS[2], 'sequence') or '0')
if redis.call('EXISTS', KEYS[1]) == 1 or tonumber(ARGV[2]) <= before then
  return 'known'
end
redis.call('HSET', KEYS[2], 'sequence', ARGV[2], 'body', ARGV[3])
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[5], '*', 'call', ARGV[1], 'after', before, 'until', ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('PEXPIRE', KEYS[3], ARGV[4])
return 'written'
