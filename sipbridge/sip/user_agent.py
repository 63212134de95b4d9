"""The SIP user agent: the interface of this package to the rest of the program."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial

from sipbridge_pjsip import pjsua2 as pj

from sipbridge.calls.admission import Admission, Admitted
from sipbridge.calls.events import InviteAnswered
from sipbridge.calls.ports.sip import Headers, ReferHandler
from sipbridge.calls.readiness import Readiness
from sipbridge.config import SipConfig, TlsConfig
from sipbridge.dns import Peer, Resolver
from sipbridge.errors import DialFailed, LegEnded
from sipbridge.sip.audio import AudioPump
from sipbridge.sip.clips import make_clip
from sipbridge.sip.connection_log import ConnectionLog
from sipbridge.sip.dialog import Dialog, DialogContext
from sipbridge.sip.dialogs import DialogTable
from sipbridge.sip.endpoint import PjsipEndpoint
from sipbridge.sip.gate import Gate
from sipbridge.sip.leg import SipLeg
from sipbridge.sip.name_table import Lookups
from sipbridge.sip.outgoing_invite import OutgoingInvite, caller_uri, make_invite
from sipbridge.sip.overload import Overload
from sipbridge.sip.pjsip_functions import Pjsip
from sipbridge.sip.resources import MediaResources
from sipbridge.sip.targets import Locator
from sipbridge.sip.thread import CallEvent, SipThread
from sipbridge.sip.tls_files import TlsFileCopies
from sipbridge.telephony.credentials import Credentials
from sipbridge.wav import Pcm

logger = logging.getLogger(__name__)


class UserAgent:
    """Implements `calls.ports.Dialler` and `Backpressure`, and passes every admitted call to `on_call`.

    `on_call` and `on_rejected` run on the event loop. `on_rejected` is notified of INVITEs that were rejected.
    """

    def __init__(
        self,
        config: SipConfig,
        resolver: Resolver,
        admission: Admission,
        readiness: Readiness,
        on_call: Callable[[SipLeg, Admitted], None],
        on_rejected: Callable[[InviteAnswered], None],
        *,
        native: Pjsip = pj,
        make_endpoint: Callable[[SipConfig], PjsipEndpoint] = PjsipEndpoint,
    ) -> None:
        self._config = config
        self._resolver = resolver
        self._admission = admission
        self._readiness = readiness
        self._on_call = on_call
        self._on_rejected = on_rejected
        self._native = native
        self._make_endpoint = make_endpoint
        self._connection_log = ConnectionLog(admission.trusts)
        # By name, one copy in memory for all calls.
        self._clips: dict[str, pj.Clip] = {}

    async def start(self) -> list[str]:
        """Open everything; return the addresses that it listens on. Raises `StartupError`."""
        self._loop = asyncio.get_running_loop()
        self._thread = SipThread(self._loop, self._handle_all, self._native)
        self._pump = AudioPump(self._loop, self._native)
        self._dialogs = DialogTable()
        self._context = DialogContext(self._thread, self._dialogs, self._clips, self._native)
        locator = Locator(self._resolver, {url.transport for url in self._config.listen})
        self._lookups = Lookups(self._resolver, locator, self._thread, self._native)
        await self._thread.start(self._open, self._close)
        self._pump.start()
        return self._endpoint.addresses

    async def stop(self) -> None:
        """Close everything."""
        self._pump.stop()
        self._lookups.close()
        await self._thread.stop()

    async def read_certificates(self, tls: TlsConfig) -> TlsFileCopies:
        """Copy the files of `sip.tls` into memory, for `use_certificates`; none without a tls:// address.

        Raises `ConfigError` with all problems.
        """
        tls_files = self._endpoint.tls_files
        return TlsFileCopies() if tls_files is None else await asyncio.to_thread(tls_files.read, tls)

    async def use_certificates(self, copies: TlsFileCopies) -> None:
        """Use these copies for new TLS connections, in both directions. Connections and calls go on."""
        await self._thread.run(partial(self._endpoint.replace_tls_files, copies))

    async def load_clip(self, name: str, pcm: Pcm, *, looped: bool = False) -> None:
        """Load a recording, to be played under this name, over and over if it is looped. Also before the start."""
        # Safe outside the SIP thread, which looks a clip up when it plays it.
        self._clips[name] = await asyncio.to_thread(partial(make_clip, pcm, looped=looped))

    def drop_clip(self, name: str) -> None:
        """Drop a recording. Calls that are playing it play it to its end."""
        self._clips.pop(name, None)

    def audio_counts(self) -> tuple[int, int, int, int]:
        """Return the underruns, overruns, late frames and stray packets since the start (docs/metrics.md)."""
        return self._native.audioCounts()

    def playout_delay(self) -> float:
        """Return the longest delay that absorbs the jitter of a WebSocket agent at present, in seconds."""
        return self._native.audioDelay() / 1_000_000

    def strangers(self) -> int:
        """Return how many messages within dialogs were ignored because their source may not speak for the far end."""
        return self._native.strangers()

    def pools_in_use(self) -> int:
        """Return how many memory pools of PJSIP are in use."""
        return self._native.poolsInUse()

    async def measure_lag(self) -> tuple[float, str | None]:
        """Return the SIP thread's delay in seconds, and the missing resource for another call, if any."""
        began = time.monotonic()
        shortage = await self._thread.run(self._resources.shortage)
        return time.monotonic() - began, shortage

    async def caught_up(self) -> None:
        """Return when `on_call` has had every INVITE that was admitted before."""
        # A turn of the SIP thread notifies the loop of its events first, then of the results of its commands.
        await self._thread.run(_do_nothing)

    async def locate(self, uri: str, redirected_by: str = "") -> list[str]:
        """Return the targets of a SIP URI, or of the proxy to it, best first (RFC 3263). Raises `DialFailed`."""
        proxy = self._config.outbound_proxy
        located = await (self._lookups.locate(proxy) if proxy else self._lookups.locate(uri, redirected_by))
        return [str(target) for target in located]

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
        """Send an INVITE, with the caller's number in From. Raises `DialFailed`; if cancelled, it leaves no leg."""
        local_uri, accounts = caller_uri(caller, self._endpoint.host), self._endpoint.account_ids
        transport = None if self._config.outbound_proxy else target.partition(":")[0]
        invite = make_invite(uri, target, transport, local_uri, headers, sources, credentials, accounts)
        dialog = Dialog(self._context, refer_handler)
        leg = SipLeg(self._loop, self._thread, dialog, self._pump, target)
        try:
            await self._thread.run(partial(self._dial, dialog, invite, leg))
        except LegEnded as error:
            # RFC 3261, 8.1.3.1: like a 503 response.
            raise DialFailed(503, f"no INVITE to {target}: {error}") from None
        except asyncio.CancelledError:
            # The INVITE may have been sent already; this command follows it.
            self._thread.post(partial(dialog.hang_up, 487, "", {}))
            raise
        return leg

    # ------------------------------------------------------------ on the SIP thread

    def _open(self) -> None:
        self._gate = Gate(
            self._admission,
            self,
            self._readiness,
            self._config.codecs,
            self._report_rejection,
            self._dialogs,
            self._expect_name,
        )
        self._endpoint = self._make_endpoint(self._config)
        self._endpoint.open(self._gate)
        self._resources = MediaResources(self._endpoint.account_ids[self._config.srtp], self._native)
        self._overload = Overload(self._thread.loop_lag, self._native.bytesWaiting)

    def overloaded(self) -> bool:
        """Return true if calls in progress have to wait."""
        return self._overload()

    def shortage(self) -> str | None:
        """Return the missing resource for another call with all its legs, None if all are free."""
        return self._resources.shortage()

    def _close(self) -> None:
        self._endpoint.close(self._gate)

    def _dial(self, dialog: Dialog, invite: OutgoingInvite, leg: SipLeg) -> None:
        self._resources.require_for_leg(invite.account)
        self._thread.handle_events()
        dialog.dial(invite, leg)

    def _handle_all(self, events: list[CallEvent]) -> None:
        for event in events:
            try:
                self._handle(event)
            except Exception:
                logger.exception("handling an event of PJSIP failed", extra={"event": "internal_error"})
        self._gate.release_unclaimed()

    def _handle(self, event: CallEvent) -> None:
        kind, slot, number, status, text, _ = event
        if kind == pj.EventIncoming:
            self._receive_call(slot, number)
        elif kind in self._connection_log.kinds:
            self._thread.notify_loop(partial(self._connection_log.log, event))
        elif kind == pj.EventRejected:
            self._gate.rejected_by_pjsua(number, status)
        elif kind == pj.EventName:
            self._thread.notify_loop(partial(self._lookups.find_addresses, text))
        elif kind == pj.EventResolve:
            self._thread.notify_loop(partial(self._lookups.find_targets, number, status, text))
        else:
            self._dialogs.handle(event)

    def _receive_call(self, slot: int, ticket: int) -> None:
        admitted = self._gate.claim(ticket)
        if admitted is None:
            self._native.callHangup(slot, 500, "", {})
            return
        dialog = Dialog(self._context)
        leg = SipLeg(self._loop, self._thread, dialog, self._pump)
        dialog.adopt(slot, leg)
        self._thread.notify_loop(partial(self._on_call, leg, admitted))

    def _expect_name(self, name: str, peer: Peer) -> None:
        self._thread.notify_loop(partial(self._lookups.expect, name, peer))

    def _report_rejection(self, event: InviteAnswered) -> None:
        self._thread.notify_loop(partial(self._on_rejected, event))


def _do_nothing() -> None:
    return


def pjsip_version() -> str:
    """Return the version of PJSIP that is compiled in."""
    return pj.builtVersion()
