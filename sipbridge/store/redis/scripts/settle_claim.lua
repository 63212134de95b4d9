-- Write the result of a claimed Signal, unless another attempt has begun since.
--
-- KEYS: the claim
-- ARGV: the claimer's epoch, number of the attempt in it, result

local claim = redis.call('HMGET', KEYS[1], 'epoch', 'attempt')
if claim[1] == ARGV[1] and claim[2] == ARGV[2] then
  redis.call('HSET', KEYS[1], 'result', ARGV[3])
end
return 'ok'
