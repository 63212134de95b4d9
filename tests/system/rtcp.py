"""The RTCP port of a caller, and the reports that it receives (RFC 3550, 6.4)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.harness.media.rtp_peer import RtpLoop, RtpPort, RtpStream

REPORT_SECONDS = 20.0  # one every five seconds or so
_SENDER_REPORT = 200
_REPORT = struct.Struct("!BBHI8xIII")  # header, sender, NTP time, timestamp, packets, bytes
_BLOCK = struct.Struct("!III")  # source, fraction and number lost, highest sequence number


@dataclass(frozen=True)
class SenderReport:
    """A sender report and its first block; `highest_sequence` counts the wraps of the sequence number."""

    sender: int
    packets_sent: int
    bytes_sent: int
    source: int
    lost: int
    highest_sequence: int


def mute(stream: RtpStream) -> None:
    """Let a stream send nothing."""
    stream.muted = True


@contextmanager
def with_rtcp(rtp: RtpLoop) -> Iterator[tuple[RtpPort, socket.socket]]:
    """Open a port that sends nothing, and the RTCP port above it (RFC 3550, 11)."""
    with ExitStack() as stack:
        while True:
            port = stack.enter_context(rtp.port(on_stream=mute))
            rtcp = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
            rtcp.settimeout(REPORT_SECONDS)
            try:
                rtcp.bind(("127.0.0.1", port.port + 1))
            except OSError:
                continue
            yield port, rtcp
            return


def read_report(rtcp: socket.socket) -> SenderReport:
    """Wait for a sender report about received packets."""
    while True:
        packet = rtcp.recv(2048)
        first, kind, _, sender, _, packets, count = _REPORT.unpack_from(packet)
        if kind == _SENDER_REPORT and first & 0x1F:
            source, lost, highest = _BLOCK.unpack_from(packet, _REPORT.size)
            return SenderReport(sender, packets, count, source, lost & 0xFFFFFF, highest)
