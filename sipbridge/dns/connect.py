"""Connections to the first address that accepts one."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from aiohappyeyeballs import AddrInfoType, start_connection

_SECOND_ADDRESS_SECONDS = 0.25  # RFC 8305, section 5


async def connect_first(addresses: Sequence[str], port: int) -> socket.socket:
    """Open a TCP connection to the first numeric address that accepts one (RFC 8305). Raises `OSError`."""
    targets = [_target(address, port) for address in addresses]
    return await start_connection(targets, happy_eyeballs_delay=_SECOND_ADDRESS_SECONDS, interleave=1)


def _target(address: str, port: int) -> AddrInfoType:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))
