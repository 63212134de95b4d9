"""Several nodes on one Redis: leases, claims of Signals, and the takeover of a node that has died.

Redis keeps what must be agreed on, and each rule is in one module: `lease` (this node is alive), `fleet` (another one
is dead), `claims` (who signals), `open_calls` (what a rescuer needs), `takeover` (the rescue). `probes` connects the
nodes directly, for the time in which Redis is away.
"""

from sipbridge.cluster.cluster import Cluster, NodeControls, NodeSettings

__all__ = ["Cluster", "NodeControls", "NodeSettings"]
