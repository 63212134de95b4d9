"""Opens PJSIP: limits, transports, codecs, the accounts that calls use."""

from __future__ import annotations

import socket

from sipbridge_pjsip import pjsua2 as pj

from sipbridge import file_descriptors
from sipbridge.config import ListenUrl, SipConfig, SrtpUse
from sipbridge.connection_errors import explain_listen_error
from sipbridge.errors import StartupError
from sipbridge.sip.pjsip_errors import errno_of, explain
from sipbridge.sip.resources import LEGS_PER_CALL
from sipbridge.sip.tls_files import Copies, Credentials

# Slots beyond those: dialogs that are ending still hold theirs.
SPARE_SLOTS = 64
_PTIME_MILLISECONDS = 20
_TRANSPORTS = {"udp": pj.PJSIP_TRANSPORT_UDP, "tcp": pj.PJSIP_TRANSPORT_TCP}
_SRTP: dict[SrtpUse, int] = {
    "disabled": pj.PJMEDIA_SRTP_DISABLED,
    "optional": pj.PJMEDIA_SRTP_OPTIONAL,
    "mandatory": pj.PJMEDIA_SRTP_MANDATORY,
}
# With the whole tag of 80 bits (RFC 4568, 6.2; RFC 6188, 7), which every peer has. The shorter one guards less.
_CRYPTO_SUITES = ("AES_CM_128_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_80")
# Its own lines are left out: each message that cannot be read would make one, quoted in full, numbers, token and all.
_SILENT = 0
# A call takes and gives back a dozen pools; past this much, what is free goes back to the system.
_KEPT_POOL_BYTES = 64 * 1024 * 1024
# TCP and TLS connections that others hold open: a trunk and its SIP agents need some, each costs 30 kB and a file.
_MOST_CONNECTIONS = 2000
_LEAST_CONNECTIONS = 50
_SOCKETS_PER_LEG = 2


def built_max_calls() -> int:
    """How many callers this build of PJSIP carries, each with all the legs that a call may have."""
    legs: int = pj.builtMaxLegs()
    return (legs - SPARE_SLOTS) // LEGS_PER_CALL


# The kernel's own default holds some 90 INVITEs, a tenth of a second of a busy trunk, and drops what comes then. It
# gives as much of this as net.core.rmem_max allows, twice. The option lives as long as the module: PJSUA2 keeps a
# pointer into it.
_RECEIVE_BUFFER = pj.SockOpt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024 * 1024)


class PjsipEndpoint:
    """PJSIP, opened for a configuration. Everything here runs on the SIP thread."""

    def __init__(self, config: SipConfig) -> None:
        self._config = config
        self.endpoint = pj.Endpoint()
        self.accounts: dict[SrtpUse, pj.Account] = {}
        self.credentials: Credentials | None = None
        self.addresses: list[str] = []
        listening = next(iter(config.listen)).host
        self._bound = _bound(listening)
        self.host = config.public_address or self._bound or "127.0.0.1"
        self._slots = LEGS_PER_CALL * config.max_calls + SPARE_SLOTS

    def open(self, gate: pj.RequestGate) -> None:
        """Open it all. Raises `StartupError` naming the address that stands in the way, or `ConfigError`."""
        pj.setLogLevel(_SILENT)
        self.endpoint.libCreate()
        try:
            pj.keepFreedPools(_KEPT_POOL_BYTES)
            pj.keepDescriptors(file_descriptors.reserved_from())
            self.endpoint.libInit(self._endpoint_config())
            pj.takeCallbacks()
            pj.keepToTransport()
            pj.resolveNames()
            pj.openWaker()
            pj.watchDescriptions()
            pj.watchSources()
            pj.watchConnections(_most_connections(self._slots))
            gate.open()
            pj.watchResponses()
            pj.holdByes()
            for url in self._config.listen:
                self._listen(url)
            self.endpoint.libStart()
            pj.startMediaClock()
            self._choose_codecs()
            self._open_accounts()
            pj.keepFromDns()
        except pj.Error as error:
            raise StartupError(f"PJSIP could not be started: {explain(error)}") from None

    def renew(self, copies: Copies) -> None:
        """Use these copies for every connection from now on."""
        if self.credentials is not None:
            self.credentials.use(copies)
            pj.renewCredentials()

    def close(self, gate: pj.RequestGate) -> None:
        """Close it all, BYE to every call that is left."""
        if self.endpoint.libGetState() == pj.PJSUA_STATE_NULL:
            return
        pj.stopMediaClock()
        pj.closeWaker()
        pj.resolveNoMore()
        pj.stopHoldingByes()
        self.endpoint.libDestroy()
        gate.close()
        if self.credentials is not None:
            self.credentials.close()

    def _endpoint_config(self) -> pj.EpConfig:
        config = pj.EpConfig()
        config.uaConfig.maxCalls = self._slots
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
        config.medConfig.maxMediaPorts = self._slots
        config.medConfig.ecTailLen = 0
        # A contact centre's recorder takes a stream that stops for a call that died.
        config.medConfig.noVad = True
        config.logConfig.level = _SILENT
        config.logConfig.consoleLevel = _SILENT
        config.logConfig.msgLogging = 0
        return config

    def _listen(self, url: ListenUrl) -> None:
        try:
            index = self._open_tls(url) if url.transport == "tls" else self._open_transport(url)
        except pj.Error as error:
            why = explain_listen_error(errno_of(error)) or explain(error)
            raise StartupError(f"sip.listen: {url} cannot be opened: {why}") from None
        port = self.endpoint.transportGetInfo(index).localName.rpartition(":")[2]
        self.addresses.append(f"{url.transport}://{url.host}:{port}")

    def _open_tls(self, url: ListenUrl) -> int:
        if self.credentials is None:
            self.credentials = Credentials(self._config.tls)
        listener = pj.TlsListener()
        listener.host = _bound(url.host)
        listener.port = url.port
        listener.publicAddress = self._config.public_address or ""
        listener.certificateFile = self.credentials.certificate_file
        listener.privateKeyFile = self.credentials.private_key_file
        listener.authoritiesFile = self.credentials.authorities_file
        listener.authoritiesDirectory = self.credentials.authorities_directory
        listener.requireClientCertificate = self._config.tls.require_client_certificate
        number: int = pj.openTls(listener)
        return number

    def _open_transport(self, url: ListenUrl) -> int:
        transport = pj.TransportConfig()
        transport.port = url.port
        transport.boundAddress = _bound(url.host)
        if self._config.public_address:
            transport.publicAddress = self._config.public_address
        if url.transport == "udp":
            transport.sockOptParams.sockOpts.append(_RECEIVE_BUFFER)
        number: int = self.endpoint.transportCreate(_TRANSPORTS[url.transport], transport)
        return number

    def _choose_codecs(self) -> None:
        wanted = {f"{name}/8000": rank for rank, name in enumerate(reversed(self._config.codecs), start=1)}
        for codec in self.endpoint.codecEnum2():
            name = "/".join(codec.codecId.split("/")[:2])
            if name == "G722/16000":  # RFC 3551, 4.5.2: its RTP clock is called 8000
                name = "G722/8000"
            self.endpoint.codecSetPriority(codec.codecId, 127 + wanted[name] if name in wanted else 0)

    def _open_accounts(self) -> None:
        """Open an account for each use of SRTP, which PJSUA decides by account; the trunk's is the default."""
        for use in _SRTP:
            account = self.accounts[use] = pj.Account()
            account.create(self._account_config(use), use == self._config.srtp)

    def _account_config(self, srtp: SrtpUse) -> pj.AccountConfig:
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
        media.srtpUse = _SRTP[srtp]
        # Whether keys may travel over what is not TLS is the operator's to say (sipbridge/config/lint.py).
        media.srtpSecureSignaling = 0
        media.srtpOpt.keyings = pj.IntVector([pj.PJMEDIA_SRTP_KEYING_SDES])
        media.srtpOpt.cryptos = pj.SrtpCryptoVector(list(map(_crypto, _CRYPTO_SUITES)))
        media.streamKaEnabled = False
        # One codec an answer: nothing to renegotiate with the trunk.
        media.lockCodecEnabled = False
        return account


def _crypto(suite: str) -> pj.SrtpCrypto:
    """A suite, with a key that PJMEDIA makes for each leg."""
    crypto = pj.SrtpCrypto()
    crypto.name = suite
    return crypto


def _most_connections(slots: int) -> int:
    """As many as leave the files for the audio of all legs, and some for everything else."""
    return max(_LEAST_CONNECTIONS, min(_MOST_CONNECTIONS, (file_descriptors.limit() - _SOCKETS_PER_LEG * slots) // 2))


def _bound(host: str) -> str:
    """PJSUA's word for all interfaces is none at all."""
    return "" if host == "0.0.0.0" else host  # noqa: S104 (what the operator wrote)
