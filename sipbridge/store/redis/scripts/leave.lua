-- Give up the lease of a node that stops. If it leaves calls open, it stays among the nodes, and is taken over.
--
-- KEYS: the lease, the nodes, its open calls
-- ARGV: epoch

if redis.call('HLEN', KEYS[3]) == 0 then
  redis.call('HDEL', KEYS[2], ARGV[1])
end
if redis.call('HGET', KEYS[1], 'epoch') == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 'ok'
