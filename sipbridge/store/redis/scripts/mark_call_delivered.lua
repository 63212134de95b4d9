-- Note that the webhook of a call has got some of its events, if it waits for events.
--
-- KEYS: the calls of the node that wait
-- ARGV: call id, position

if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
