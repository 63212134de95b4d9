"""The resolver and DNS cache of the process: addresses, SRV records and NAPTR records of host names.

SIP, WebSocket agents and CXone share it, so that each name is looked up once. It uses c-ares, which reads `/etc/hosts`
and needs no thread per name. Names that c-ares does not find are looked up with `getaddrinfo`, since only the system
knows some of them: those of mDNS, of a container runtime, of an NSS module.
"""

from sipbridge.dns.cache import Peer
from sipbridge.dns.connect import connect_first
from sipbridge.dns.records import Addresses, Pointer, Service
from sipbridge.dns.resolver import Resolver

__all__ = ["Addresses", "Peer", "Pointer", "Resolver", "Service", "connect_first"]
