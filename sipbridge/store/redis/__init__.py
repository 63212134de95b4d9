"""The stores in Redis or Valkey, which several nodes share (docs/cluster.md)."""
