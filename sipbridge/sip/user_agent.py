"""The SIP side as the rest of the program sees it: start, take calls, make calls, stop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from urllib.parse import quote

from sipbridge_pjsip import pjsua2 as pj

from sipbridge.calls.admission import Admission, Admitted
from sipbridge.calls.events import InviteAnswered
from sipbridge.calls.ports import Headers, ReferHandler
from sipbridge.calls.readiness import Readiness
from sipbridge.config import SipConfig, TlsConfig
from sipbridge.dns import Resolver
from sipbridge.errors import DialFailed, LegGone
from sipbridge.sip.audio import AudioPump
from sipbridge.sip.clips import make_clip
from sipbridge.sip.connection_log import ConnectionLog
from sipbridge.sip.dialogs import LegTable
from sipbridge.sip.endpoint import PjsipEndpoint
from sipbridge.sip.gate import Gate
from sipbridge.sip.leg import SipLeg
from sipbridge.sip.name_table import Lookups
from sipbridge.sip.overload import Overload
from sipbridge.sip.resources import Room
from sipbridge.sip.targets import Locator
from sipbridge.sip.thread import CallEvent, SipThread
from sipbridge.sip.tls_files import Copies
from sipbridge.telephony.credentials import Credentials
from sipbridge.wav import Pcm

logger = logging.getLogger(__name__)


class SipTrunk:
    """Implements `calls.ports.Dialler`, and gives every admitted call to `on_call`.

    `on_call` and `on_rejected` run on the event loop; the latter is notified of INVITEs of which no call was made.
    """

    def __init__(
        self,
        config: SipConfig,
        resolver: Resolver,
        admission: Admission,
        readiness: Readiness,
        on_call: Callable[[SipLeg, Admitted], None],
        on_rejected: Callable[[InviteAnswered], None],
    ) -> None:
        self._config = config
        self._resolver = resolver
        self._admission = admission
        self._readiness = readiness
        self._on_call = on_call
        self._on_rejected = on_rejected
        self._connection_log = ConnectionLog(admission.trusts)
        # By name; the one copy in memory of what several calls may play.
        self._clips: dict[str, pj.Clip] = {}

    async def start(self) -> list[str]:
        """Open everything; returns the addresses in use. Raises `StartupError`."""
        self._loop = asyncio.get_running_loop()
        self._thread = SipThread(self._loop, self._handle)
        self._pump = AudioPump(self._loop)
        locator = Locator(self._resolver, {url.transport for url in self._config.listen})
        self._lookups = Lookups(self._resolver, locator, self._thread)
        await self._thread.start(self._open, self._close)
        self._pump.start()
        return self._pjsip.addresses

    async def stop(self) -> None:
        """Close everything."""
        self._pump.stop()
        self._lookups.close()
        await self._thread.stop()

    async def read_certificates(self, tls: TlsConfig) -> Copies:
        """Copy what the files of `sip.tls` hold now, for `use_certificates`; nothing without a tls:// address.

        Raises `ConfigError` with what is wrong.
        """
        credentials = self._pjsip.credentials
        return Copies() if credentials is None else await asyncio.to_thread(credentials.read, tls)

    async def use_certificates(self, copies: Copies) -> None:
        """Have new TLS connections, in and out, use them. Connections and calls go on."""
        await self._thread.run(partial(self._pjsip.renew, copies))

    async def load_clip(self, name: str, pcm: Pcm) -> None:
        """Make a recording ready to be played under this name. Also before the start."""
        # No matter for the SIP thread: it looks one up when it is to be played.
        self._clips[name] = await asyncio.to_thread(make_clip, pcm)

    def drop_clip(self, name: str) -> None:
        """Forget a recording; who plays it plays it to its end."""
        self._clips.pop(name, None)

    def audio_counts(self) -> tuple[int, int, int, int]:
        """Underruns, overruns, late frames and stray packets since the start (docs/metrics.md)."""
        counts: tuple[int, int, int, int] = pj.audioCounts()
        return counts

    def strangers(self) -> int:
        """Requests and responses in dialogs that were not taken, as their source may not speak for the far end."""
        count: int = pj.strangers()
        return count

    def pools_in_use(self) -> int:
        """Memory pools of PJSIP that somebody holds."""
        count: int = pj.poolsInUse()
        return count

    async def measure_lag(self) -> tuple[float, str | None]:
        """Return the seconds that the SIP thread takes to answer, and what it lacks for another call."""
        asked = time.monotonic()
        lack = await self._thread.run(self._room.lack_for_call)
        return time.monotonic() - asked, lack

    async def caught_up(self) -> None:
        """Return once `on_call` has had every INVITE that was let in before this was asked."""
        # They are told in the turn in which they came, and before what a command of that turn has to say.
        await self._thread.run(_nothing)

    async def locate(self, uri: str) -> list[str]:
        """Where to call a SIP URI, best first (RFC 3263). Raises `DialFailed`."""
        return [str(target) for target in await self._lookups.locate(uri)]

    async def dial(
        self,
        uri: str,
        target: str,
        headers: Headers,
        caller: str,
        *,
        sources: Sequence[str] = (),
        credentials: Credentials | None = None,
        refer_handler: ReferHandler | None = None,
    ) -> SipLeg:
        """Send an INVITE, with the caller's number in From. Raises `DialFailed`; cancelled, it leaves no leg behind."""
        leg = SipLeg(self._loop, self._thread, self._table, self._pump, target)
        local_uri = f"<sip:{quote(caller or 'anonymous', safe='+')}@{self._pjsip.host}>"
        command = partial(
            self._table.dial, leg, uri, target, sources, dict(headers), local_uri, credentials, refer_handler
        )
        try:
            await self._thread.run(command)
        except LegGone as error:
            # RFC 3261, 8.1.3.1: as if the response were this.
            raise DialFailed(503, f"no INVITE to {target}: {error}") from None
        except asyncio.CancelledError:
            # The INVITE may be on its way; this comes after it.
            self._thread.post(partial(self._table.hang_up, leg.number, 487, "", {}))
            raise
        return leg

    # ------------------------------------------------------------ on the SIP thread

    def _open(self) -> None:
        self._gate = Gate(
            self._admission,
            self,
            self._readiness,
            self._config.codecs,
            self._rejected,
            self._judge_refer,
            self._name_expected,
            self._hold_bye,
        )
        self._pjsip = PjsipEndpoint(self._config)
        self._pjsip.open(self._gate)
        self._room = Room(self._pjsip.accounts[self._config.srtp].getId())
        self._table = LegTable(self._thread, self._pjsip.accounts, self._room, self._clips)
        self._overload = Overload(self._thread.loop_lag, pj.bytesWaiting)

    def overloaded(self) -> bool:
        """True if calls in progress have to wait."""
        return self._overload()

    def shortage(self) -> str | None:
        """Return what is missing for one more call with all its legs; None if nothing is."""
        return self._room.lack_for_call()

    def _close(self) -> None:
        self._pjsip.close(self._gate)

    def _handle(self, events: list[CallEvent]) -> None:
        for event in events:
            try:
                self._handle_one(*event)
            except Exception:
                logger.exception("an event of PJSIP's could not be handled", extra={"event": "internal_error"})
        self._gate.sweep()

    def _handle_one(self, kind: int, slot: int, number: int, status: int, text: str, final: bool) -> None:  # noqa: FBT001 (an event's fields)
        if kind == pj.EventIncoming:
            self._take_on(slot, number)
        elif kind in self._connection_log.kinds:
            self._thread.tell(partial(self._connection_log.note, kind, number, status, text))
        elif kind == pj.EventTurnedDown:
            self._gate.turned_down(number, status)
        elif kind == pj.EventName:
            self._thread.tell(partial(self._lookups.find_addresses, text))
        elif kind == pj.EventResolve:
            self._thread.tell(partial(self._lookups.find_targets, number, status, text))
        else:
            self._table.handle(kind, slot, number, status, text, final)

    def _take_on(self, slot: int, ticket: int) -> None:
        admitted = self._gate.take(ticket)
        if admitted is None:
            pj.callHangup(slot, 500, "", {})
            return
        leg = SipLeg(self._loop, self._thread, self._table, self._pump)
        self._table.adopt(leg, slot)
        self._thread.tell(partial(self._on_call, leg, admitted))

    def _judge_refer(self, slot: int, request: pj.GateRequest) -> None:
        self._table.judge_refer(slot, request)

    def _name_expected(self, name: str) -> None:
        self._thread.tell(partial(self._lookups.expect, name))

    def _hold_bye(self, slot: int, ticket: int) -> bool:
        return self._table.hold_bye(slot, ticket)

    def _rejected(self, event: InviteAnswered) -> None:
        self._thread.tell(partial(self._on_rejected, event))


def _nothing() -> None:
    return


def pjsip_version() -> str:
    """The version of PJSIP that is built in."""
    version: str = pj.builtVersion()
    return version
