"""The headers by which the nodes of a cluster recognise each other."""

PROBE = "X-Sipbridge-Probe"  # of a request for /healthz: the node that asks, signed
FORWARDED = "X-Sipbridge-Forwarded"  # of a request that another node has sent on
NODE = "X-Sipbridge-Node"  # of the response: the epoch of the node
