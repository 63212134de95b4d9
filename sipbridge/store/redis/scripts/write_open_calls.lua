-- Write the changed open calls of an epoch, each as a whole, and remove those that are over; or replace them all.
-- A write that was delayed on its way changes nothing if a later one came before, which has its calls, too.
--
-- KEYS: the open calls, the number of their last write, the rescue of the epoch
-- ARGV: number of the write in the epoch, time to live in ms, 'replace' if the others are no longer open, else '', number
--   of changed calls, for each of them its id and its entries, then the ids of those that are over
-- Returns 'written', 'superseded' (a later write came before) or 'rescued' (another node has the calls).

if redis.call('EXISTS', KEYS[3]) == 1 then
  return 'rescued'
end
local last = redis.call('GET', KEYS[2])
if last and tonumber(last) > tonumber(ARGV[1]) then
  return 'superseded'
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
if ARGV[3] == 'replace' then
  redis.call('DEL', KEYS[1])
end
local changed = 4 + 2 * tonumber(ARGV[4])
for at = 5, changed, 2 do
  redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
end
for at = changed + 1, #ARGV do
  redis.call('HDEL', KEYS[1], ARGV[at])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 'written'
