"""Several nodes on one Redis: leases, claims of Signals, and the takeover of a node that has died.

Redis keeps what must be agreed on, and each rule is in one module: `lease` (this node is alive), `fleet` (another one
is dead), `claims` (who signals), `open_calls` (what a rescuer needs), `chat_owners` (who carries a chat), `takeover`
(the rescue). `probes` connects the nodes directly, for the time in which Redis is away.
"""

from sipbridge.cluster.chat_owners import CarriedChats
from sipbridge.cluster.cluster import Cluster, NodeSettings
from sipbridge.cluster.controls import NodeControls

__all__ = ["CarriedChats", "Cluster", "NodeControls", "NodeSettings"]
