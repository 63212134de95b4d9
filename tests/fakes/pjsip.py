"""PJSIP without PJSIP: the native functions that a running user agent calls, with a conference and calls in memory."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence

from sipbridge_pjsip import pjsua2 as pj

Event = tuple[int, int, int, int, str, bool]


class FakePort:
    """A clip player or an audio stream in the conference."""

    def __init__(self, port: int, token: int) -> None:
        self.token = token
        self._port = port

    def getPortId(self) -> int:
        return self._port


class FakePjsip:
    """Implements `Pjsip`. `sent` has the requests and responses, in order; `failing` makes those of a name fail.

    `audio` maps PJSUA's slots to conference slots, and `connected` has the connections between conference slots.
    `direct` maps PJSUA's slots to the streams whose audio goes past the conference, unless `is_direct` is false.
    `relayed` has both slots of joined calls whose packets are relayed, which happens if `can_relay` is true.
    `dropped` has the slots whose audio that waited for a listener was dropped.
    `gathers` has the times for which each poll was to wait for more events, in milliseconds.
    """

    def __init__(self) -> None:
        self.sent: list[tuple[object, ...]] = []
        self.failing: set[str] = set()
        self.audio: dict[int, int] = {}
        self.connected: set[tuple[int, int]] = set()
        self.ports: list[FakePort] = []
        self.is_direct = True
        self.direct: dict[int, int] = {}
        self.can_relay = False
        self.relayed: dict[int, int] = {}
        self.dropped: set[int] = set()
        self.withheld: dict[int, int] = {}
        self.levels: dict[int, int] = {}
        self.relay_levels: dict[int, int] = {}
        self.packets = -1
        self.free_calls = 100
        self.room = pj.Available
        self.asked_for_room: list[tuple[int, int]] = []
        self.next_slot = 7
        self.waiting = 0
        self.gathers: list[int] = []
        self.names: dict[str, Sequence[str]] = {}
        self.targets: dict[int, Sequence[str]] = {}
        self.streams: dict[int, bytearray] = {}
        self.unheard = 0
        self._received: list[tuple[int, bytes, int, bytes]] = []
        self._from_sockets: list[tuple[int, bytes, bool]] = []
        self._events: deque[Event] = deque()
        self._polls: deque[Callable[[], None]] = deque()
        self._woken = threading.Event()
        self._reader, self._writer = os.pipe()

    # ------------------------------------------------------------ actions of a test

    def queue_event(
        self, kind: int, slot: int = -1, number: int = 0, status: int = 0, text: str = "", *, final: bool = True
    ) -> None:
        """Queue an event for the next poll."""
        self._events.append((kind, slot, number, status, text, final))
        self._woken.set()

    def on_poll(self, action: Callable[[], None]) -> None:
        """Do something in the next poll, on the SIP thread, where PJSIP's callbacks run."""
        self._polls.append(action)
        self._woken.set()

    def receive_audio(self, stream: int, audio: bytes, played: int = 0, unsent: bytes = b"") -> None:
        """Let a turn of the media clock leave audio for a stream."""
        self._received.append((stream, audio, played, unsent))
        os.write(self._writer, b"!")

    def receive_from_socket(self, stream: int, received: bytes, *, ended: bool = False) -> None:
        """Let an agent's socket have something that is not audio."""
        self._from_sockets.append((stream, received, ended))
        os.write(self._writer, b"!")

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)

    def _send(self, name: str, *what: object) -> None:
        if name in self.failing:
            raise _error()
        self.sent.append((name, *what))

    # ------------------------------------------------------------ the poll

    def pollEvents(self, milliseconds: int, gatherMilliseconds: int) -> list[Event]:
        assert gatherMilliseconds <= milliseconds
        self.gathers.append(gatherMilliseconds)
        self._woken.wait(milliseconds / 1000)
        self._woken.clear()
        while self._polls:
            self._polls.popleft()()
        return self.takeEvents()

    def takeEvents(self) -> list[Event]:
        events = []
        while self._events:
            events.append(self._events.popleft())
        return events

    def wakeSipThread(self) -> None:
        self._woken.set()

    # ------------------------------------------------------------ calls

    def callDial(
        self,
        account: int,
        uri: str,
        target: str,
        sources: Sequence[str],
        localUri: str,
        headers: dict[str, str],
        username: str,
        password: str,
    ) -> int:
        self._send("INVITE", account, uri, target, list(sources), localUri, headers, username, password)
        return self.next_slot

    def callAnswer(self, call: int, status: int, headers: dict[str, str]) -> None:
        self._send("response", call, status, headers)

    def callHangup(self, call: int, status: int, reason: str, headers: dict[str, str]) -> None:
        self._send("end", call, status, reason, headers)
        self.queue_event(pj.EventEnded, call, 0, status)

    def callRefer(self, call: int, number: int, referTo: str, headers: dict[str, str]) -> None:
        self._send("REFER", call, number, referTo, headers)

    def notifyTransfer(self, ticket: int, status: int, reason: str) -> None:
        self._send("NOTIFY", ticket, status, reason)

    def callDigit(self, call: int, digit: int) -> None:
        self._send("digit", call, chr(digit))

    def passBye(self, ticket: int) -> None:
        self._send("pass BYE", ticket)

    def callPackets(self, call: int) -> int:
        assert call >= 0
        return self.packets

    def sipCallId(self, call: int) -> str:
        return f"call-{call}@fake"

    # ------------------------------------------------------------ the conference

    def callAudio(self, call: int) -> int:
        return self.audio.get(call, -1)

    def connectSlots(self, source: int, sink: int) -> None:
        present = {*self.audio.values(), *(port.getPortId() for port in self.ports)}
        assert {source, sink} <= present, "a conference slot that does not exist"
        self.connected.add((source, sink))

    def disconnectSlots(self, source: int, sink: int) -> None:
        self.connected.discard((source, sink))

    def slotLevel(self, slot: int) -> int:
        return self.levels.get(slot, 0)

    def ClipPlayer(self, clip: pj.Clip, token: int) -> FakePort:
        assert isinstance(clip, pj.Clip)
        return self._add_port(token)

    def AudioPort(self, stream: int) -> FakePort:
        return self._add_port(stream)

    def openDirectAudio(self, call: int, stream: int) -> bool:
        assert call in self.audio
        if self.is_direct:
            self.direct[call] = stream
        return self.is_direct

    def closeDirectAudio(self, call: int) -> None:
        self.direct.pop(call, None)

    def openRelay(self, call: int, withheld: int, other: int, otherWithheld: int) -> bool:
        assert {call, other} <= self.audio.keys()
        if self.can_relay:
            self.relayed |= {call: other, other: call}
            self.withheld |= {call: withheld, other: otherWithheld}
        return self.can_relay

    def closeRelay(self, call: int) -> None:
        self.relayed.pop(self.relayed.pop(call, call), None)
        self.dropped.add(call)

    def relayLevel(self, call: int) -> int:
        return self.relay_levels.get(call, 0) if call in self.relayed else -1

    def _add_port(self, token: int) -> FakePort:
        self.ports.append(FakePort(1000 + len(self.ports), token))
        return self.ports[-1]

    # ------------------------------------------------------------ audio streams

    def audioDescriptor(self) -> int:
        return self._reader

    def readSockets(self) -> list[tuple[int, bytes, bool]]:
        os.read(self._reader, 4096)
        received, self._from_sockets = self._from_sockets, []
        return received

    def takeAudio(self) -> list[tuple[int, bytes, int, bytes]]:
        received, self._received = self._received, []
        return received

    def audioOpen(self, maxBytes: int) -> int:
        assert maxBytes > 0
        number = len(self.streams) + 1
        self.streams[number] = bytearray()
        return number

    def audioWrite(self, stream: int, audio: bytes) -> int:
        self.streams[stream] += audio
        return len(self.streams[stream])

    def audioPosition(self, stream: int) -> tuple[int, int, float]:
        return len(self.streams[stream]), 0, 0.0

    def audioClear(self, stream: int) -> int:
        self._send("clear", stream)
        return len(self.streams.get(stream, b""))

    def audioMute(self, stream: int, muted: bool) -> None:  # noqa: FBT001 (as in the native module)
        self._send("mute", stream, muted)

    def audioUnheard(self, stream: int) -> int:
        assert stream in self.streams
        return self.unheard

    def audioClose(self, stream: int) -> None:
        del self.streams[stream]

    def audioConnect(self, stream: int, descriptor: int, streamSid: str) -> None:
        self._send("connect", stream, descriptor, streamSid)

    def siftSocket(self, stream: int, bytes: bytes) -> bytes:
        self._send("sift", stream)
        return bytes[1:]

    def socketReads(self, stream: int, reads: bool) -> None:  # noqa: FBT001 (as in the native module)
        self._send("reads", stream, reads)

    def socketSends(self, stream: int, sends: bool) -> None:  # noqa: FBT001 (as in the native module)
        self._send("sends", stream, sends)

    def socketReports(self, stream: int, reports: bool) -> None:  # noqa: FBT001 (as in the native module)
        self._send("reports", stream, reports)

    def socketCounts(self, stream: int, messages: int, chunks: int, bytes: int) -> tuple[int, int, int]:
        self._send("counts", stream)
        return messages, chunks, bytes

    def closeSocket(self, stream: int) -> bytes:
        self._send("close", stream)
        return b"partial"

    # ------------------------------------------------------------ resources, names, statistics

    def freeCalls(self) -> int:
        return self.free_calls

    def resourcesForLeg(self, account: int, reservedFrom: int) -> int:
        self.asked_for_room.append((account, reservedFrom))
        return self.room

    def resolved(self, number: int, targets: Sequence[str]) -> None:
        self.targets[number] = targets

    def learnName(self, name: str, addresses: Sequence[str]) -> None:
        self.names[name] = addresses

    def audioCounts(self) -> tuple[int, int, int, int]:
        return 1, 2, 3, 4

    def audioDelay(self) -> int:
        return 12_500

    def bytesWaiting(self) -> int:
        return self.waiting

    def poolsInUse(self) -> int:
        return 5

    def strangers(self) -> int:
        return 6


class FakeRequest(pj.IncomingRequest):
    """A request at the gate. `status` is that of our response, 0 if it was admitted or accepted."""

    def __init__(self, message: bytes = b"", source: str = "127.0.0.1", *, ticket: int = 1, fault: int = 0) -> None:
        self._message = message
        self._source = source
        self._ticket = ticket
        self._fault = fault
        self.method_fault = 0
        self.status = 0
        self.stateless = False
        self.headers: dict[str, str] = {}

    def ticket(self) -> int:
        return self._ticket

    def method(self) -> str:
        return self._message.partition(b" ")[0].decode()

    def message(self) -> bytes:
        return self._message

    def sourceAddress(self) -> str:
        return self._source

    def sourcePort(self) -> int:
        return 5060

    def transport(self) -> str:
        return "UDP"

    def messageFault(self) -> int:
        return self._fault

    def messageFaultText(self) -> str:
        return "unreadable header" if self._fault else ""

    def methodFault(self) -> int:
        return self.method_fault

    def refuse(self, code: int, reason: str) -> None:
        assert reason == ""
        self.status = code

    def refuseStateless(self, code: int) -> None:
        self.status, self.stateless = code, True

    def addHeader(self, name: str, value: str) -> None:
        self.headers[name] = value


def _error() -> pj.Error:
    error = pj.Error()
    error.status, error.reason = 171_060, "Unsupported transport (PJSIP_EUNSUPTRANSPORT)"
    return error
