"""The caller's audio: G.711 mu-law over RTP (RFC 3550, 3551), and DTMF digits (RFC 4733)."""

from __future__ import annotations

import asyncio
import itertools
import re
import struct
from collections import deque
from datetime import UTC, datetime

PCMU = 0  # the payload type (RFC 3551, table 4)
DIGITS = "0123456789*#ABCD"
RATE = 8000
FRAME_SECONDS = 0.02
FRAME_BYTES = 160

_EVENT_TYPE = 101
_SILENCE = b"\xff" * FRAME_BYTES
_HEADER = struct.Struct("!BBHII")
_EVENT = struct.Struct("!BBH")
_VOLUME = 10
_PRESS_FRAMES = 5
_SOURCE = 0x5EED
# The magnitude of a mu-law sample above which it is speech and no noise: 10 of 127, about -50 dB.
_LOUD = 16
_MAGNITUDES = bytes(~code & 0x7F for code in range(256))


class Audio(asyncio.DatagramProtocol):
    """The audio of one call. Silence is sent while there is nothing to play."""

    def __init__(self) -> None:
        self.port = 0
        self.packets = 0
        self.voiced_frames = 0
        self.first_voice: datetime | None = None
        self.heard = asyncio.Event()
        self._last_voice = 0.0
        self._sent_all = asyncio.Event()
        self._sent_all.set()
        self._remote: tuple[str, int] | None = None
        self._event_type = _EVENT_TYPE
        self._frames: deque[bytes] = deque()
        self._events: deque[tuple[bool, bytes]] = deque()
        self._first, self._highest = -1, -1

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        """Remember the socket."""
        self._socket = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 (the trunk accepts any source)
        """Measure a packet of mu-law audio."""
        if len(data) <= _HEADER.size or data[1] & 0x7F != PCMU:
            return
        self.packets += 1
        self._count(int.from_bytes(data[2:4]))
        if max(data[_HEADER.size :].translate(_MAGNITUDES)) > _LOUD:
            self.voiced_frames += 1
            self._last_voice = asyncio.get_running_loop().time()
            self.first_voice = self.first_voice or datetime.now(UTC)
            self.heard.set()

    def _count(self, sequence: int) -> None:
        """Extend the 16 bits of a sequence number to those of the whole call (RFC 3550, A.1)."""
        if self._first < 0:
            self._first = self._highest = sequence
            return
        step = (sequence - self._highest + 0x8000 & 0xFFFF) - 0x8000
        self._highest = max(self._highest, self._highest + step)

    @property
    def lost_packets(self) -> int:
        """The number of packets that did not arrive, among those between the first and the last."""
        return max(0, self._highest - self._first + 1 - self.packets) if self.packets else 0

    def connect(self, sdp: str) -> None:
        """Send to the address of a session description. Raises `ValueError` if it has no mu-law audio."""
        address = re.search(r"^c=IN IP4 (\S+)", sdp, re.MULTILINE)
        line = re.search(r"^m=audio (\d+) RTP/AVP ([\d ]+)", sdp, re.MULTILINE)
        if address is None or line is None or str(PCMU) not in line[2].split():
            raise ValueError("the bridge's SDP has no G.711 mu-law audio")
        event = re.search(r"^a=rtpmap:(\d+) telephone-event/8000", sdp, re.MULTILINE | re.IGNORECASE)
        self._event_type = int(event[1]) if event else _EVENT_TYPE
        self._remote = (address[1], int(line[1]))

    def play(self, mulaw: bytes) -> None:
        """Queue audio."""
        self._sent_all.clear()
        frames = range(0, len(mulaw), FRAME_BYTES)
        self._frames.extend(mulaw[at : at + FRAME_BYTES].ljust(FRAME_BYTES, b"\xff") for at in frames)

    def press(self, digit: str) -> None:
        """Queue a DTMF digit: growing duration, then the end three times."""
        self._sent_all.clear()
        for frame in range(1, _PRESS_FRAMES + 3):
            end = 0x80 if frame >= _PRESS_FRAMES else 0
            duration = min(frame, _PRESS_FRAMES) * FRAME_BYTES
            self._events.append((frame == 1, _EVENT.pack(DIGITS.index(digit), end | _VOLUME, duration)))

    async def sent_all(self) -> None:
        """Return when all queued audio and digits have been sent."""
        await self._sent_all.wait()

    async def pause(self, seconds: float) -> None:
        """Return when no speech has arrived for this long."""
        loop = asyncio.get_running_loop()
        while (left := self._last_voice + seconds - loop.time()) > 0:  # noqa: ASYNC110 (an event per packet would not say it)
            await asyncio.sleep(left)

    async def run(self) -> None:
        """Send a packet every 20 ms, until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        pressed_at = 0
        for number in itertools.count():
            timestamp, kind, payload = number * FRAME_BYTES, PCMU, _SILENCE
            if self._events:
                begins, payload = self._events.popleft()
                kind = self._event_type | (0x80 if begins else 0)
                timestamp = pressed_at = timestamp if begins else pressed_at
            elif self._frames:
                payload = self._frames.popleft()
            else:
                self._sent_all.set()
            if self._remote:
                header = _HEADER.pack(0x80, kind, number & 0xFFFF, timestamp & 0xFFFF_FFFF, _SOURCE)
                self._socket.sendto(header + payload, self._remote)
            due += FRAME_SECONDS
            await asyncio.sleep(due - loop.time())

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


async def open_audio(host: str) -> Audio:
    """Open a free port of an address of ours for audio. Raises `OSError`."""
    _, audio = await asyncio.get_running_loop().create_datagram_endpoint(Audio, local_addr=(host, 0))
    return audio


def description(host: str, port: int, direction: str = "sendrecv") -> str:
    """Return our session description: G.711 mu-law and DTMF digits."""
    lines = (
        *("v=0", f"o=caller 1 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0"),
        *(f"m=audio {port} RTP/AVP {PCMU} {_EVENT_TYPE}", f"a=rtpmap:{_EVENT_TYPE} telephone-event/8000"),
        *(f"a=fmtp:{_EVENT_TYPE} 0-15", "a=ptime:20", f"a={direction}"),
    )
    return "".join(f"{line}\r\n" for line in lines)


def direction_for(offer: str) -> str:
    """Return the direction of our answer to an offer (RFC 3264, 6.1)."""
    found = re.search(r"^a=(sendrecv|sendonly|recvonly|inactive)\s*$", offer, re.MULTILINE)
    return {"sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}.get(
        found[1] if found else "", "sendrecv"
    )
