-- Claim the Signal of a call. A claim belongs to the epoch that wrote it first, and is never given back.
-- Only one whose Signal certainly did not arrive passes to another epoch that claims it.
--
-- KEYS: the claim, the rescue of the claimer's own epoch
-- ARGV: the claimer's epoch, number of the attempt in it, time to live in ms
-- Returns 'mine', 'taken' (another epoch has it) or 'rescued' (the claimer counts as dead).

if redis.call('EXISTS', KEYS[2]) == 1 then
  return 'rescued'
end
local claim = redis.call('HMGET', KEYS[1], 'epoch', 'result')
if claim[1] and claim[1] ~= ARGV[1] and claim[2] ~= 'undelivered' then
  return 'taken'
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'attempt', ARGV[2], 'result', '')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 'mine'
