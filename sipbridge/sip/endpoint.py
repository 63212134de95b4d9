"""Opens PJSIP: limits, transports, codecs, the account that all calls use."""

from __future__ import annotations

import logging
import socket

import pjsua2 as pj

from sipbridge import descriptors
from sipbridge.config import ListenUrl, SipConfig
from sipbridge.errors import StartupError
from sipbridge.sip.room import LEGS_A_CALL

logger = logging.getLogger(__name__)

# Slots beyond those: dialogs that are ending still hold theirs.
SPARE_SLOTS = 64
_PTIME_MILLISECONDS = 20
_TRANSPORTS = {"udp": pj.PJSIP_TRANSPORT_UDP, "tcp": pj.PJSIP_TRANSPORT_TCP}
# Of PJSIP's own levels 0 to 6: errors and warnings.
_LOG_LEVEL = 2
# A call takes and gives back a dozen pools; past this much, what is free goes back to the system.
_KEPT_POOL_BYTES = 64 * 1024 * 1024


def built_max_calls() -> int:
    """How many callers this build of PJSIP carries, each with all the legs that a call may have."""
    legs: int = pj.builtMaxLegs()
    return (legs - SPARE_SLOTS) // LEGS_A_CALL


# The kernel's own default holds some 90 INVITEs, a tenth of a second of a busy trunk, and drops what comes then. It
# gives as much of this as net.core.rmem_max allows, twice. The option lives as long as the module: PJSUA2 keeps a
# pointer into it.
_RECEIVE_BUFFER = pj.SockOpt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024 * 1024)


class PjsipLog(pj.LogWriter):  # type: ignore[misc]
    """PJSIP's own log lines, on the SIP thread."""

    def write(self, entry: pj.LogEntry) -> None:
        """Pass a line on. They may quote what a stranger sent, so they are warnings only where PJSIP says so."""
        level = logging.WARNING if entry.level <= 1 else logging.DEBUG
        if logger.isEnabledFor(level):
            logger.log(level, "%s", entry.msg.rstrip(), extra={"event": "pjsip"})


class PjsipEndpoint:
    """PJSIP, opened for a configuration. Everything here runs on the SIP thread."""

    def __init__(self, config: SipConfig) -> None:
        self._config = config
        self._log = PjsipLog()
        self.endpoint = pj.Endpoint()
        self.account = pj.Account()
        self.addresses: list[str] = []
        listening = next(iter(config.listen)).host
        self._bound = _bound(listening)
        self.host = config.public_address or self._bound or "127.0.0.1"

    def open(self, gate: pj.RequestGate) -> None:
        """Open it all. Raises `StartupError` naming the address or limit that stands in the way."""
        most = built_max_calls()
        if self._config.max_calls > most:
            raise StartupError(
                f"sip.max_calls: {self._config.max_calls} is over what this build of PJSIP carries ({most}); "
                "lower it, or raise PJSUA_MAX_CALLS in config/pjsip/config_site.h and build again"
            )
        pj.setLogLevel(_LOG_LEVEL)
        self.endpoint.libCreate()
        try:
            pj.keepFreedPools(_KEPT_POOL_BYTES)
            pj.keepDescriptors(descriptors.first_kept())
            self.endpoint.libInit(self._endpoint_config())
            pj.takeCallbacks()
            pj.keepToTransport()
            pj.openWaker()
            gate.open()
            for url in self._config.listen:
                self._listen(url)
            self.endpoint.libStart()
            pj.startMediaClock()
            self._choose_codecs()
            self.account.create(self._account_config(), True)  # noqa: FBT003 (PJSUA2 has no keywords)
        except pj.Error as error:
            raise StartupError(f"PJSIP could not be started: {error.reason}") from None

    def close(self, gate: pj.RequestGate) -> None:
        """Close it all, BYE to every call that is left."""
        if self.endpoint.libGetState() == pj.PJSUA_STATE_NULL:
            return
        gate.close()
        pj.stopMediaClock()
        pj.closeWaker()
        self.endpoint.libDestroy()

    def _endpoint_config(self) -> pj.EpConfig:
        config = pj.EpConfig()
        slots = LEGS_A_CALL * self._config.max_calls + SPARE_SLOTS
        config.uaConfig.maxCalls = slots
        config.uaConfig.threadCnt = 0
        config.uaConfig.mainThreadOnly = True
        config.uaConfig.userAgent = "sipbridge"
        config.uaConfig.natTypeInSdp = 0
        config.medConfig.clockRate = 8000
        config.medConfig.sndClockRate = 8000
        config.medConfig.channelCount = 1
        config.medConfig.audioFramePtime = _PTIME_MILLISECONDS
        config.medConfig.ptime = _PTIME_MILLISECONDS
        # Also for what plays to a caller, who has one leg less then. Each port has 8 bytes of room for every other.
        config.medConfig.maxMediaPorts = slots
        config.medConfig.ecTailLen = 0
        # A contact centre's recorder takes a stream that stops for a call that died.
        config.medConfig.noVad = True
        config.logConfig.level = _LOG_LEVEL
        config.logConfig.consoleLevel = 0
        config.logConfig.msgLogging = 0
        config.logConfig.writer = self._log
        # The library deletes its writer; Python must not do it again.
        self._log.__disown__()
        return config

    def _listen(self, url: ListenUrl) -> None:
        transport = pj.TransportConfig()
        transport.port = url.port
        transport.boundAddress = _bound(url.host)
        if self._config.public_address:
            transport.publicAddress = self._config.public_address
        if url.transport == "udp":
            transport.sockOptParams.sockOpts.append(_RECEIVE_BUFFER)
        try:
            number = self.endpoint.transportCreate(_TRANSPORTS[url.transport], transport)
        except pj.Error as error:
            raise StartupError(f"sip.listen: {url} cannot be opened: {error.reason}") from None
        port = self.endpoint.transportGetInfo(number).localName.rpartition(":")[2]
        self.addresses.append(f"{url.transport}://{url.host}:{port}")

    def _choose_codecs(self) -> None:
        wanted = {f"{name}/8000": rank for rank, name in enumerate(reversed(self._config.codecs), start=1)}
        for codec in self.endpoint.codecEnum2():
            name = "/".join(codec.codecId.split("/")[:2])
            if name == "G722/16000":  # RFC 3551, 4.5.2: its RTP clock is called 8000
                name = "G722/8000"
            self.endpoint.codecSetPriority(codec.codecId, 127 + wanted[name] if name in wanted else 0)

    def _account_config(self) -> pj.AccountConfig:
        account = pj.AccountConfig()
        account.idUri = f"<sip:sipbridge@{self.host}>"
        account.regConfig.registerOnAdd = False
        # Reliable provisional answers and session timers for those who ask (RFC 3262, RFC 4028).
        account.callConfig.prackUse = pj.PJSUA_100REL_OPTIONAL
        account.callConfig.timerUse = pj.PJSUA_SIP_TIMER_OPTIONAL
        first, last = self._config.rtp_ports
        media = account.mediaConfig
        media.transportConfig.port = first
        media.transportConfig.portRange = last - first
        media.transportConfig.boundAddress = self._bound
        if self._config.public_address:
            media.transportConfig.publicAddress = self._config.public_address
        media.srtpUse = pj.PJMEDIA_SRTP_DISABLED
        media.streamKaEnabled = False
        # One codec an answer: nothing to renegotiate with the trunk.
        media.lockCodecEnabled = False
        return account


def _bound(host: str) -> str:
    """PJSUA's word for all interfaces is none at all."""
    return "" if host == "0.0.0.0" else host  # noqa: S104 (what the operator wrote)
