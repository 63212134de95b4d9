"""baresip, a third-party SIP agent or caller, run as a program without a sound card.

It plays a recording or echoes, records what it receives, and is controlled over its control socket (module ctrl_tcp:
JSON in netstrings, https://github.com/baresip/baresip/blob/main/modules/ctrl_tcp/ctrl_tcp.c).
"""

from __future__ import annotations

import json
import queue
import re
import shutil
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from tests.harness.certificates import Pair
from tests.harness.media.g711 import FRAME_BYTES
from tests.harness.media.recordings import as_mulaw, read_wav
from tests.harness.ports import free_port, rtp_range
from tests.harness.waiting import wait_for

from .program import Program, ProgramError

ECHO = "aubridge,echo"  # a source and a player of the same name are connected
_NO_DEVICE = "aubridge,nowhere"
_TRIES = 5
_START_SECONDS = 20.0
_READ_BYTES = 65_536
_CONFIG = """\
sip_listen 127.0.0.1:{sip}
net_interface 127.0.0.1
rtp_ports {rtp[0]}-{rtp[1]}
{tls}
ctrl_tcp_listen 127.0.0.1:{control}
audio_source {source}
audio_player {player}
audio_alert {alert}
audio_srate 8000
ausrc_srate 8000
auplay_srate 8000
audio_channels 1
ausrc_channels 1
auplay_channels 1
snd_path {recordings}
call_max_calls 8
statmode_default off
ringback_disabled yes
module_path {modules}
module g711.so
module aufile.so
module aubridge.so
module sndfile.so
module srtp.so
module_tmp account.so
module_tmp uuid.so
module_app menu.so
module_app ctrl_tcp.so
"""

Event = dict[str, Any]


class Baresip:
    """One running baresip with one account, `user`, that accepts calls on `port` or on a free one.

    Its files and its log are in a folder named after the user. `recording` is a WAV file of 8 kHz; with None it echoes.
    Unless `auto_answer` is set, it rings until `accept`. With `transport` TLS it presents `certificate`, and accepts
    calls on the port above. `srtp` is baresip's setting for its offers and answers: `srtp-mand` is RTP/SAVP only,
    `srtp` keys with RTP/AVP (RFC 8643).
    """

    def __init__(
        self,
        folder: Path,
        user: str,
        *,
        recording: Path | None = None,
        auto_answer: bool = True,
        transport: str = "udp",
        port: int | None = None,
        certificate: Pair | None = None,
        srtp: Literal["srtp", "srtp-mand"] | None = None,
    ) -> None:
        self.user = user
        self._folder = folder / user
        self._recordings = self._folder / "recordings"
        self._recordings.mkdir(parents=True)
        self._recording = recording
        self._answer_mode = "auto" if auto_answer else "manual"
        self._transport = transport
        self._fixed_port = port
        self._certificate = certificate
        self._srtp = srtp
        for _ in range(_TRIES):
            if self._started():
                return
        raise ProgramError(f"baresip found no free ports\n{self._folder}")

    def _started(self) -> bool:
        """Start on other ports; return True if they were free and are used by this process."""
        self.port = self._fixed_port or free_port()
        # Besides its port for SIP it uses the next one, for TLS.
        control_port = next(port for port in iter(free_port, None) if port != self.port + 1)
        self._configure(control_port)
        # Line-buffered output: the trace of the SIP messages is read as it is written.
        command: list[str | Path] = ["stdbuf", "--output=L", _executable(), "-f", self._folder, "-s"]
        self.program = Program(command, self._folder / "log")
        try:
            self.program.line_with("baresip is ready", _START_SECONDS)
            self._control = Control(control_port)
        except (ProgramError, OSError):
            self.program.kill()
            return False
        if self._control.belongs_to(f"@127.0.0.1:{self._sip_port}"):
            return True
        self._control.close()
        self.program.kill()
        return False

    def _configure(self, control: int) -> None:
        config = _CONFIG.format(
            sip=self.port,
            control=control,
            rtp=rtp_range(),
            source=f"aufile,{self._recording}" if self._recording else ECHO,
            player=_NO_DEVICE if self._recording else ECHO,
            alert=_NO_DEVICE,
            tls=f"sip_certificate {self._certificate.both}" if self._certificate else "",
            recordings=self._recordings,
            modules=_modules(),
        )
        account = f"<{self.uri}>;regint=0;answermode={self._answer_mode};audio_codecs=pcmu,pcma"
        account += f";mediaenc={self._srtp}\n" if self._srtp else "\n"
        for name, text in {"config": config, "accounts": account, "contacts": ""}.items():
            (self._folder / name).write_text(text)

    @property
    def uri(self) -> str:
        """The SIP URI under which it accepts calls."""
        return f"sip:{self.user}@127.0.0.1:{self._sip_port};transport={self._transport}"

    @property
    def _sip_port(self) -> int:
        return self.port + (self._transport == "tls")

    def command(self, name: str, parameters: str = "") -> str:
        """Run a command (the long names of its menu); return the output."""
        return self._control.command(name, parameters)

    def dial(self, uri: str) -> None:
        """Place a call."""
        self.command("dial", uri)

    def accept(self) -> None:
        """Answer the ringing call."""
        self.command("accept")

    def hang_up(self) -> None:
        """End the call."""
        self.command("hangup")

    def hold(self) -> None:
        """Put the call on hold."""
        self.command("hold")

    def resume(self) -> None:
        """Resume the call."""
        self.command("resume")

    def transfer(self, uri: str) -> None:
        """Send the far end a REFER."""
        self.command("transfer", uri)

    def send_digits(self, digits: str) -> None:
        """Send DTMF digits, one after the other."""
        for digit in digits:
            self.command("sndcode", digit)

    def event(self, kind: str, seconds: float = 10.0) -> Event:
        """Return its next event of a kind, such as `CALL_ESTABLISHED`; earlier events are skipped."""
        try:
            return self._control.event(kind, seconds)
        except TimeoutError:
            raise self.program.error(f"had no event {kind} within {seconds:g} s") from None

    def next_trace_line(self, line: str, seconds: float = 10.0) -> str:
        """Return the next line of its SIP trace, sent or received, that contains some text."""
        return self.program.line_with(line, seconds)

    def has_recorded(self, frames: int) -> bool:
        """Return True if this many frames of 20 ms have been recorded."""
        return sum(file.stat().st_size for file in self._recordings.glob("*-dec.wav")) >= frames * 2 * FRAME_BYTES

    def recorded_audio(self) -> bytes:
        """Return the audio received so far as mu-law."""
        return b"".join(as_mulaw(read_wav(file)) for file in sorted(self._recordings.glob("*-dec.wav")))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._control.close()
        if kind is None and self.program.is_running:
            # The first signal ends it after its SIP transactions, which take up to 32 s; the second one at once.
            self.program.terminate()
            with suppress(TimeoutError):
                wait_for(lambda: not self.program.is_running, "the end of baresip", 2)
        self.program.__exit__(kind, error, at)


class Control:
    """The control socket. baresip sends its events to one connection, from the moment that it is open."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_START_SECONDS)
        self._socket.settimeout(None)
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="baresip control", daemon=True)
        self._reader.start()

    def command(self, name: str, parameters: str, seconds: float = 10.0) -> str:
        """Send a command; return its output. Raises `ValueError` if it failed, `queue.Empty` on a timeout."""
        message = json.dumps({"command": name, "params": parameters}).encode()
        self._socket.sendall(b"%d:%b," % (len(message), message))
        answer = self._answers.get(timeout=seconds)
        if not answer["ok"]:
            raise ValueError(f"{name} {parameters}: {answer}")
        text: str = answer.get("data", "")
        return text

    def belongs_to(self, account: str) -> bool:
        """Return True if the other end is a baresip with that account."""
        try:
            return account in self.command("reginfo", "")
        except (OSError, queue.Empty):
            return False

    def event(self, kind: str, seconds: float) -> Event:
        """Return the next event of a kind. Raises `TimeoutError`."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                event = self._events.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise TimeoutError(kind) from None
            if event["type"] == kind:
                return event

    def close(self) -> None:
        """Close the socket."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._socket.close()

    def _read(self) -> None:
        # The port may have become another program's (`belongs_to`), which resets the connection or says other things.
        with suppress(OSError, ValueError):
            self._read_messages()

    def _read_messages(self) -> None:
        unread = b""
        while data := self._socket.recv(_READ_BYTES):
            unread += data
            while len(parts := unread.split(b":", 1)) > 1 and len(parts[1]) > int(parts[0]):
                size = int(parts[0])
                message: Event = json.loads(parts[1][:size])
                (self._events if message.get("event") else self._answers).put(message)
                unread = parts[1][size + 1 :]


def version() -> str:
    """Return the version of the installed baresip; empty if it is not installed."""
    if shutil.which("baresip") is None:
        return ""
    said = subprocess.run([_executable(), "-h"], capture_output=True, text=True, check=False).stdout  # noqa: S603 (found)
    found = re.search(r"baresip v(\S+)", said)
    return found[1] if found else ""


def _executable() -> str:
    found = shutil.which("baresip")
    if found is None:
        raise ProgramError("baresip is not installed; Debian's package baresip-core has it")
    return found


def _modules() -> Path:
    """Return the folder of Debian's modules: in /usr/lib, or in the architecture's folder there."""
    return next(path for pattern in ("", "*/") for path in Path("/usr/lib").glob(f"{pattern}baresip/modules"))
