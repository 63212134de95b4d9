"""The audio of a caller or of a SIP agent, while SIPp does the signalling: RTP (RFC 3550) on ports of the test.

One loop serves all ports, in ticks of 2 ms: it reads received packets and sends the frames that are due, with the
streams spread over the 20 ms. The kernel records the arrival time of each packet, so that none needs to wake the loop.
"""

from __future__ import annotations

import itertools
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.harness.arrival_times import ANCILLARY_BYTES, arrival_ns, record_arrivals
from tests.harness.media import rtp
from tests.harness.waiting import wait_for

from .g711 import ALAW_SILENCE, ALAW_TO_MULAW, FRAME_BYTES, MULAW_SILENCE, PCMA, PCMU
from .srtp import Srtp
from .stamp import ReceivedFrame, find_stamps

TICK_NS = 2_000_000
_TICKS_PER_FRAME = 10  # 20 ms
_SO_RXQ_OVFL = 40  # <asm-generic/socket.h>; Python has no name for it
_RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
_HEADER = struct.Struct("!BBHII")
_PACKET_BYTES = 2048

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Packet:
    """A received RTP packet; `at_ns` is the kernel's time of its arrival, as `time.time_ns` counts."""

    at_ns: int
    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    source: int
    payload: bytes

    @classmethod
    def parse(cls, at_ns: int, data: bytes) -> Packet:
        """Parse a packet without extension or contributing sources (RFC 3550, 5.1)."""
        _, second, sequence, timestamp, source = _HEADER.unpack_from(data)
        return cls(at_ns, second & 0x7F, second >= 0x80, sequence, timestamp, source, data[_HEADER.size :])


class RtpStream:
    """One call's audio on a port: silence to `remote` unless there are frames to send.

    `dtmf_payload_type` is the payload type of telephone-event in the SDP. While it is `muted` it sends no packets.
    """

    def __init__(self, port: RtpPort, remote: Address) -> None:
        self.remote = remote
        self.dtmf_payload_type = rtp.PAYLOAD_TYPE
        self.muted = False
        self.received: list[tuple[int, bytes]] = []
        self._send = port.send
        self._payload_type = port.payload_type
        self._silence = (ALAW_SILENCE if port.payload_type == PCMA else MULAW_SILENCE) * FRAME_BYTES
        self._queued_frames: deque[Iterator[bytes]] = deque()
        self._queued_digits: deque[tuple[int, int, bytes]] = deque()
        self._sequence = 0
        self._timestamp = 0
        self._digit_began_at = 0
        self._source = next(_sources)

    def send_frames(self, frames: Iterable[bytes]) -> None:
        """Queue frames of 20 ms; each is taken from the iterable when it is due."""
        self._queued_frames.append(iter(frames))

    def send_packet(self, data: bytes) -> None:
        """Send a packet that the test has made, at once."""
        self._send(data, self.remote)

    def send_digits(self, digits: str) -> None:
        """Queue DTMF digits (RFC 4733), which replace the audio while they last."""
        for digit in digits:
            for place, event in enumerate(rtp.digit_events(digit)):
                self._queued_digits.append((0x80 if place == 0 else 0, self.dtmf_payload_type, event))

    @property
    def has_begun(self) -> bool:
        """True if a packet has been sent."""
        return self._sequence > 0

    @property
    def has_sent_all(self) -> bool:
        """True if all queued frames and digits have been sent."""
        return not self._queued_frames and not self._queued_digits

    def send_due_packet(self) -> None:
        """Send the packet that is due now."""
        if self.muted:
            return
        if self._queued_digits:
            marker, kind, payload = self._queued_digits.popleft()
            if marker:
                self._digit_began_at = self._timestamp
            timestamp = self._digit_began_at
        else:
            marker, kind, payload, timestamp = 0, self._payload_type, self._next_frame(), self._timestamp
        self._send(_HEADER.pack(0x80, marker | kind, self._sequence, timestamp, self._source) + payload, self.remote)
        self._sequence = self._sequence + 1 & 0xFFFF
        self._timestamp = self._timestamp + FRAME_BYTES & 0xFFFF_FFFF

    def _next_frame(self) -> bytes:
        while self._queued_frames:
            frame = next(self._queued_frames[0], None)
            if frame is not None:
                return frame
            self._queued_frames.popleft()
        return self._silence

    @property
    def packets(self) -> list[Packet]:
        """All received packets, in order of arrival."""
        return [Packet.parse(at_ns, data) for at_ns, data in self.received]

    @property
    def audio(self) -> list[tuple[int, bytes]]:
        """The received audio, with the arrival time of each packet; mu-law or A-law, not converted."""
        return [(packet.at_ns, packet.payload) for packet in self.packets if packet.payload_type in {PCMU, PCMA}]

    def stamps(self) -> list[ReceivedFrame]:
        """The received stamped frames, in either law."""
        if self._payload_type == PCMA:
            return list(find_stamps((at_ns, audio.translate(ALAW_TO_MULAW)) for at_ns, audio in self.audio))
        return list(find_stamps(self.audio))

    def digits(self) -> str:
        """The received DTMF digits, each once, by the end of its event (RFC 4733, 2.5.1.4)."""
        ends = {
            packet.timestamp: rtp.DIGITS[packet.payload[0]]
            for packet in self.packets
            if packet.payload_type == self.dtmf_payload_type and packet.payload[1] & 0x80
        }
        return "".join(ends.values())


class RtpPort:
    """An even loopback port for the audio of one call or many: each far end gets a stream with its first packet.

    With `srtp` all packets are encrypted.
    """

    def __init__(
        self, loop: RtpLoop, payload_type: int, on_stream: Callable[[RtpStream], None] | None, srtp: Srtp | None
    ) -> None:
        self.payload_type = payload_type
        self.streams: dict[Address, RtpStream] = {}
        self.dropped = 0  # by the kernel, because the loop did not read in time
        self._loop = loop
        self._on_stream = on_stream
        self._socket = _bind_even_port()
        self._srtp = srtp
        self._receive = self._socket.recvmsg
        self.send: Callable[[bytes, Address], object] = self._send_encrypted if srtp else self._socket.sendto
        self.port: int = self._socket.getsockname()[1]

    def stream(self, seconds: float = 10.0) -> RtpStream:
        """Return the only stream once a packet has arrived. Raises `TimeoutError`."""
        return wait_for(lambda: next(iter(self.streams.values()), None), f"audio on port {self.port}", seconds)

    def call(self, remote: Address) -> RtpStream:
        """Send to a far end, also before its first packet."""
        with self._loop.lock:
            if remote not in self.streams:
                stream = self.streams[remote] = RtpStream(self, remote)
                if self._on_stream:
                    self._on_stream(stream)
                self._loop.add(stream)
            return self.streams[remote]

    def read(self) -> None:
        """Read all waiting packets."""
        streams = self.streams
        while True:
            try:
                data, ancillary, _, remote = self._receive(_PACKET_BYTES, ANCILLARY_BYTES)
            except BlockingIOError:
                return
            at_ns = arrival_ns(ancillary)
            if len(ancillary) > 1:
                (self.dropped,) = struct.unpack("@I", ancillary[1][2])
            if self._srtp and not (data := self._srtp.unprotect(data) or b""):
                continue
            stream = streams.get(remote) or self.call(remote)
            stream.received.append((at_ns, data))

    def _send_encrypted(self, packet: bytes, remote: Address) -> None:
        if self._srtp and (encrypted := self._srtp.protect(packet)):
            self._socket.sendto(encrypted, remote)

    def close(self) -> None:
        """Close the port."""
        self._socket.close()


class RtpLoop:
    """The loop that serves ports, in a thread (as a context manager) or in the caller's (`run`)."""

    def __init__(self) -> None:
        self._ports: tuple[RtpPort, ...] = ()
        self._slots: list[list[RtpStream]] = [[] for _ in range(_TICKS_PER_FRAME)]
        self._next_slot = itertools.cycle(self._slots)
        self._stopping = False
        self.lock = threading.RLock()  # of all ports and streams
        self._thread = threading.Thread(target=self.run, name="rtp", daemon=True)

    @contextmanager
    def port(
        self,
        payload_type: int = PCMU,
        on_stream: Callable[[RtpStream], None] | None = None,
        srtp: Srtp | None = None,
    ) -> Iterator[RtpPort]:
        """Open a port; `on_stream` is called with each new stream, in the loop's thread."""
        port = RtpPort(self, payload_type, on_stream, srtp)
        self._ports = (*self._ports, port)
        try:
            yield port
        finally:
            with self.lock:
                self._ports = tuple(each for each in self._ports if each is not port)
                for slot in self._slots:
                    slot[:] = [stream for stream in slot if stream not in port.streams.values()]
                port.close()

    def add(self, stream: RtpStream) -> None:
        """Send for a stream every 20 ms from now on, in the next slot."""
        next(self._next_slot).append(stream)

    def run(self) -> None:
        """Tick until `stop`; ticks after a late one catch up."""
        due = time.monotonic_ns()
        for slot in itertools.cycle(self._slots):
            if self._stopping:
                return
            with self.lock:
                for port in self._ports:
                    port.read()
                for stream in slot:
                    stream.send_due_packet()
            due += TICK_NS
            left = due - time.monotonic_ns()
            if left > 0:
                time.sleep(left / 1e9)

    def stop(self) -> None:
        """Make `run` return."""
        self._stopping = True

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        self._thread.join()


_sources = itertools.count(0x5EED_0000)


def _bind_even_port() -> socket.socket:
    """Bind a free even port for RTP; the odd one above is RTCP's (RFC 3550, 11)."""
    tries: list[socket.socket] = []
    try:
        while True:
            candidate = socket.socket(type=socket.SOCK_DGRAM)
            tries.append(candidate)
            candidate.bind(("127.0.0.1", 0))
            if candidate.getsockname()[1] % 2 == 0:
                break
    finally:
        for each in tries[:-1]:
            each.close()
    candidate.setblocking(False)  # noqa: FBT003 (socket has no keyword for it)
    candidate.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
    record_arrivals(candidate)
    candidate.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
    return candidate
