"""A SIP peer that sends mutants of the scenarios' messages within calls that it has set up for the purpose.

It calls the bridge and is called by it (as a SIP agent). It responds to the bridge's requests in those calls, so that
they progress to the states that the next mutants test. It uses one UDP socket, one TCP connection and the caller's
thread.
"""

from __future__ import annotations

import itertools
import re
import select
import socket
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from tests.harness.sip.scenario_messages import Template, templates

from .dialogs import HostileDialog, Received, replace_headers, requests_in_dialog, requests_of_method
from .mutator import Mutator

Address = tuple[str, int]

_SEND_SECONDS = 5.0
_MAX_DATAGRAM = 65_507
_MAX_DIALOGS = 8
_TAG = re.compile(r";tag=[^;\s]*")
_URI = re.compile(r"<([^>]*)>")


@dataclass(frozen=True, slots=True)
class Target:
    """A number to call, and the token of a project."""

    number: str
    token: str


class HostilePeer:
    """A sender to the bridge at `udp` and `tcp` (`HOST:PORT`) as `mutator` decides, in calls to `targets`."""

    def __init__(self, mutator: Mutator, udp: str, tcp: str, targets: list[Target], port: int = 0) -> None:
        self.statuses: Counter[int] = Counter()
        self.requests: Counter[str] = Counter()
        self.connections = 0
        self._mutator = mutator
        self._targets = targets
        self._remote = _address(udp)
        self._remote_tcp = _address(tcp)
        self._udp = socket.socket(type=socket.SOCK_DGRAM)
        self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        self._udp.bind(("127.0.0.1", port))
        self._udp.setblocking(False)  # noqa: FBT003 (socket has no keyword for it)
        self._tcp: socket.socket | None = None
        self._buffer = b""
        self._numbers = itertools.count(1)
        self._dialogs: deque[HostileDialog] = deque()
        self._received_requests: deque[Received] = deque(maxlen=16)
        self._calls = {False: requests_of_method(method="INVITE", in_dialog=False), True: ()}
        self._in_dialog = {called: requests_in_dialog(called=called) for called in (False, True)}
        self._answers = tuple(each for each in templates() if each.is_response)
        self._out_of_dialog = tuple(
            each for each in templates() if not (each.is_response or each.is_in_dialog or each.method == "INVITE")
        )

    @property
    def port(self) -> int:
        """The UDP port under which it can be called."""
        return int(self._udp.getsockname()[1])

    # ------------------------------------------------------------ mutants

    def send_mutants(self, count: int) -> list[bytes]:
        """Send this many mutants, all over UDP or all over TCP; return what was sent."""
        over_tcp = self._mutator.happens(0.5)
        mutants = [self._mutator.mutant(self._next_message(over_tcp=over_tcp)) for _ in range(count)]
        if over_tcp:
            self._send_stream(mutants)
        else:
            for mutant in mutants:
                self._send(mutant, over_tcp=False)
        return mutants

    def call(self, *, over_tcp: bool) -> None:
        """Set up a good call for later mutants."""
        template = self._mutator.pick(
            [each for each in self._calls[False] if each.scenario in {"update", "hold_resume", "info"}]
        )
        self._send(template.fill(self._new_call_values(over_tcp=over_tcp)), over_tcp=over_tcp)

    def _next_message(self, *, over_tcp: bool) -> bytes:
        """Return the next message to mutate."""
        share = self._mutator.happens
        dialogs = [each for each in self._dialogs if each.over_tcp == over_tcp]
        if dialogs and share(0.5):
            dialog = self._mutator.pick(dialogs)
            return self._request(dialog, self._mutator.pick(self._in_dialog[dialog.called]))
        if self._received_requests and share(0.15):
            return self._mutator.pick(self._answers).fill(
                self._new_call_values(over_tcp=over_tcp), self._mutator.pick(self._received_requests).copied()
            )
        return self._mutator.pick(self._out_of_dialog if share(0.1) else self._calls[False]).fill(
            self._new_call_values(over_tcp=over_tcp)
        )

    def _request(self, dialog: HostileDialog, template: Template) -> bytes:
        number = next(dialog.requests)
        message = template.fill({**dialog.values, "branch": f"z9hG4bK-in-{dialog.values['call_number']}-{number}"})
        message = re.sub(rb"^CSeq: \d+", b"CSeq: %d" % number, message, count=1, flags=re.MULTILINE)
        return replace_headers(message, dialog.parties)

    def _new_call_values(self, *, over_tcp: bool) -> dict[str, str]:
        """Return the values for a message of a new call."""
        number = next(self._numbers)
        target = self._mutator.pick(self._targets)
        host, port = self._remote_tcp if over_tcp else self._remote
        local = self._connection().getsockname()[1] if over_tcp else self.port
        return {
            "service": target.number,
            "token": target.token,
            "remote_ip": host,
            "remote_port": str(port),
            "local_ip": "127.0.0.1",
            "local_port": str(local),
            "media_ip": "127.0.0.1",
            "media_port": "9",
            "rtp_port": "9",
            "payload_type": "0",
            "transport": "TCP" if over_tcp else "UDP",
            "call_id": f"fuzz-{number}",
            "branch": f"z9hG4bK-{number}",
            "pid": "fuzz",
            "call_number": str(number),
            "contact_id": str(700_000_000 + number),
            "main_contact_id": str(700_000_000 + number),
            "refer_to": "<sip:care@127.0.0.1>",
            "digits": target.number[-4:],
            "fold": " ",
            "destination": "care",
            "$events": "101",
            "cseq": "1",
        }

    # ------------------------------------------------------------ messages from the bridge

    def listen(self) -> None:
        """Read what has arrived, and respond."""
        with suppress(BlockingIOError):
            while True:
                try:
                    message = self._udp.recv(65_535)
                except ConnectionError:
                    continue
                self._handle(Received.read(message, over_tcp=False))
        for message in self._read_stream():
            self._handle(Received.read(message, over_tcp=True))

    def _handle(self, message: Received) -> None:
        if message.status:
            self.statuses[message.status] += 1
            if message.status // 100 == 2 and message.method == "INVITE":
                self._confirm(message)
            elif "RSeq" in message.headers:
                self._acknowledge_provisional(message)
            return
        self.requests[message.method] += 1
        self._received_requests.append(message)
        if message.method == "INVITE" and not _TAG.search(message.headers.get("To", "")):
            self._respond_to_invite(message)
        elif message.method != "ACK":
            self._answer(message, "200 OK", "")

    def _acknowledge_provisional(self, message: Received) -> None:
        """Send PRACK (RFC 3262), good or not: none of our scenarios has one."""
        dialog = self._dialog_of(message)
        if dialog is not None:
            template = next(
                each for each in self._in_dialog[False] if each.method == "UPDATE" and "v=0" not in each.text
            )
            prack = self._request(dialog, template).replace(b"UPDATE", b"PRACK")
            line = f"RAck: {message.headers['RSeq']} {message.headers.get('CSeq', '')}\r\nContent-Length".encode()
            prack = prack.replace(b"Content-Length", line, 1)
            self._send(self._mutator.mutant(prack) if self._mutator.happens(0.5) else prack, over_tcp=message.over_tcp)

    def _confirm(self, message: Received) -> None:
        """Acknowledge the answer to our call. Keep the call if the answer is good; otherwise it is over."""
        dialog = self._dialog_of(message)
        if dialog is None:
            return
        number = (message.headers.get("CSeq", "").split() or ["1"])[0]
        self._send(self._acknowledgement(dialog, number), over_tcp=message.over_tcp)
        if all(each.values["call_id"] != dialog.values["call_id"] for each in self._dialogs):
            self._add_dialog(dialog)

    def _dialog_of(self, message: Received) -> HostileDialog | None:
        """Return the dialog that a response to our INVITE belongs to."""
        identity = re.fullmatch(r"fuzz-(\d+)", message.headers.get("Call-ID", ""))
        tag = _TAG.search(message.headers.get("To", ""))
        target = _URI.search(message.headers.get("Contact", ""))
        if not (identity and tag and target):
            return None
        values = {
            **self._new_call_values(over_tcp=message.over_tcp),
            "call_id": message.headers["Call-ID"],
            "call_number": identity[1],
            "peer_tag_param": tag[0],
            "next_url": target[1],
        }
        number = (message.headers.get("CSeq", "").split() or ["1"])[0]
        following = itertools.count(int(number) + 1 if number.isdecimal() else 2)
        # As the bridge has understood them, whatever we had written.
        parties = {name: text for name, text in message.headers.items() if name in {"From", "To"}}
        return HostileDialog(values, message.over_tcp, called=False, parties=parties, requests=following)

    def _acknowledgement(self, dialog: HostileDialog, number: str) -> bytes:
        template = next(each for each in self._in_dialog[False] if each.method == "ACK")
        text = template.fill(
            {**dialog.values, "branch": f"z9hG4bK-ack-{dialog.values['call_number']}-{time.monotonic_ns()}"}
        )
        text = re.sub(rb"^CSeq: \d+", f"CSeq: {number}".encode(), text, count=1, flags=re.MULTILINE)
        return replace_headers(text, dialog.parties)

    def _add_dialog(self, dialog: HostileDialog) -> None:
        self._dialogs.append(dialog)
        if len(self._dialogs) > _MAX_DIALOGS:
            self._end(self._dialogs.popleft())

    def _end(self, dialog: HostileDialog) -> None:
        template = next(each for each in self._in_dialog[dialog.called] if each.method == "BYE")
        self._send(self._request(dialog, template), over_tcp=dialog.over_tcp)

    def _respond_to_invite(self, invite: Received) -> None:
        """Respond as an agent with strange responses, and in most cases answer the call in the end."""
        number = str(next(self._numbers))
        values = {**self._new_call_values(over_tcp=False), "call_number": number}
        headers = invite.copied()
        for template in (self._mutator.pick(self._answers) for _ in range(3)):
            self._send(self._mutator.mutant(template.fill(values, headers)), over_tcp=invite.over_tcp)
        tagged = f";tag=fuzz-{number}"
        if self._mutator.happens(0.2):
            self._answer(invite, self._mutator.pick(("486 Busy", "302 Moved", "401 Who", "500 No")), tagged)
            return
        answer = next(each for each in self._answers if each.scenario == "agent_refers" and each.method == "200")
        self._send(answer.fill(values, headers), over_tcp=invite.over_tcp)
        target = _URI.search(invite.headers.get("Contact", ""))
        caller = {"$caller": invite.headers.get("From", ""), "call_id": invite.headers.get("Call-ID", "")}
        self._add_dialog(
            HostileDialog({**values, **caller, "next_url": target[1] if target else ""}, invite.over_tcp, called=True)
        )

    def _answer(self, request: Received, status: str, tag: str) -> None:
        copied = request.copied()
        if "To" in copied:
            copied["To"] += tag
        lines = [
            f"SIP/2.0 {status}",
            *copied.values(),
            f"Contact: <sip:fuzz@127.0.0.1:{self.port}>",
            "Content-Length: 0",
        ]
        self._send("\r\n".join([*lines, "", ""]).encode("utf-8", "replace"), over_tcp=request.over_tcp)

    # ------------------------------------------------------------ sockets

    def _send(self, message: bytes, *, over_tcp: bool) -> None:
        if over_tcp:
            self._send_all([message])
        else:
            with suppress(OSError):
                self._udp.sendto(message[:_MAX_DATAGRAM], self._remote)

    def _send_stream(self, mutants: list[bytes]) -> None:
        self._send_all(self._mutator.pieces(mutants))
        if self._mutator.happens(0.3):
            self._disconnect()

    def _send_all(self, pieces: list[bytes]) -> None:
        try:
            for piece in pieces:
                self._connection().sendall(piece)
        except OSError:
            self._disconnect()

    def _connection(self) -> socket.socket:
        if self._tcp is None:
            self._tcp = socket.create_connection(self._remote_tcp, timeout=_SEND_SECONDS)
            self._tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._buffer = b""
            self.connections += 1
        return self._tcp

    def _disconnect(self) -> None:
        if self._tcp is not None:
            self._tcp.close()
            self._tcp = None
            for dialog in [each for each in self._dialogs if each.over_tcp]:
                self._dialogs.remove(dialog)
                dialog.over_tcp = False
                self._end(dialog)

    def _read_stream(self) -> Iterator[bytes]:
        while self._tcp is not None and select.select([self._tcp], [], [], 0)[0]:
            try:
                data = self._tcp.recv(65_535)
            except OSError:
                data = b""
            if not data:
                self._disconnect()
                break
            self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            found = re.search(rb"^(?:Content-Length|l)\s*:\s*(\d+)", head, re.IGNORECASE | re.MULTILINE)
            length = int(found[1]) if found else 0
            if len(rest) < length:
                break
            self._buffer = rest[length:]
            yield head.lstrip() + b"\r\n\r\n" + rest[:length]

    def close(self) -> None:
        """End the remaining calls, and the connections."""
        while self._dialogs:
            self._end(self._dialogs.popleft())
        self.listen()
        self._disconnect()

    def release(self) -> None:
        """Close the socket."""
        self._udp.close()


def _address(address: str) -> Address:
    host, _, port = address.rpartition(":")
    return host, int(port)
