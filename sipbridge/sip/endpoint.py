"""PJSIP's endpoint: its limits, transports, codecs, and the accounts of calls."""

from __future__ import annotations

import socket

from sipbridge_pjsip import pjsua2 as pj

from sipbridge import file_descriptors
from sipbridge.config import ListenUrl, SipConfig
from sipbridge.connection_errors import explain_listen_error
from sipbridge.errors import StartupError
from sipbridge.sip.pjsip_errors import errno_of, explain
from sipbridge.sip.pjsip_functions import SetupFunctions
from sipbridge.sip.resources import LEGS_PER_CALL
from sipbridge.sip.tls_files import TlsFileCopies, TlsFiles
from sipbridge.telephony.sip_uri import SrtpUse

# Additional slots: dialogs that are ending still occupy theirs.
SPARE_SLOTS = 64
_PTIME_MILLISECONDS = 20
_TRANSPORTS = {"udp": pj.PJSIP_TRANSPORT_UDP, "tcp": pj.PJSIP_TRANSPORT_TCP}
_SRTP: dict[SrtpUse, int] = {
    "disabled": pj.PJMEDIA_SRTP_DISABLED,
    "optional": pj.PJMEDIA_SRTP_OPTIONAL,
    "mandatory": pj.PJMEDIA_SRTP_MANDATORY,
}
# With the full tag of 80 bits (RFC 4568, 6.2; RFC 6188, 7), which every peer supports.
_CRYPTO_SUITES = ("AES_CM_128_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_80")
# PJSIP's own log is off: it would quote every unreadable message in full, with its numbers and tokens.
_SILENT = 0
# A call uses and frees a dozen pools; free pools beyond this size go back to the system.
_CACHED_POOL_BYTES = 64 * 1024 * 1024
# TCP and TLS connections that peers open: a trunk and its SIP agents need some; each costs 30 kB and a descriptor.
_MAX_CONNECTIONS = 2000
_MIN_CONNECTIONS = 50
_SOCKETS_PER_LEG = 2


def built_max_calls() -> int:
    """Return how many calls this build of PJSIP carries, each with all its legs."""
    return (pj.builtMaxLegs() - SPARE_SLOTS) // LEGS_PER_CALL


# The kernel's default buffer holds about 90 INVITEs, 0.1 s of a busy trunk, and drops what exceeds it. The kernel
# grants this size up to net.core.rmem_max, and doubles it. A module constant: PJSUA2 keeps a pointer into the option.
_RECEIVE_BUFFER = pj.SockOpt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024 * 1024)


class PjsipEndpoint:
    """PJSIP, opened for a configuration. Everything here runs on the SIP thread.

    `account_ids` are PJSUA's numbers of the accounts, by their use of SRTP. `addresses` are those it listens on, and
    `host` is what our URIs name. `tls_files` is None without a tls:// address.
    """

    def __init__(self, config: SipConfig, native: SetupFunctions = pj) -> None:
        self._config = config
        self._native = native
        self._endpoint = native.Endpoint()
        # PJSUA2 removes an account when its Python object goes.
        self._accounts: list[pj.Account] = []
        self.account_ids: dict[SrtpUse, int] = {}
        self.tls_files: TlsFiles | None = None
        self.addresses: list[str] = []
        self._bound_address = _bound_address(next(iter(config.listen)).host)
        self.host = config.public_address or self._bound_address or "127.0.0.1"
        self._slots = LEGS_PER_CALL * config.max_calls + SPARE_SLOTS

    def open(self, gate: pj.RequestGate) -> None:
        """Open everything. Raises `StartupError`, which names the address that cannot be opened, or `ConfigError`."""
        self._native.setLogLevel(_SILENT)
        self._endpoint.libCreate()
        try:
            self._native.setPoolCacheLimit(_CACHED_POOL_BYTES)
            self._native.reserveDescriptors(file_descriptors.reserved_from())
            self._endpoint.libInit(self._endpoint_config())
            self._native.installCallbacks()
            self._native.disableTcpSwitch()
            self._native.resolveNames()
            self._native.openWaker()
            self._native.watchDescriptions()
            self._native.watchSources()
            self._native.watchConnections(_max_connections(self._slots))
            gate.open()
            self._native.watchResponses()
            self._native.holdByes()
            for url in self._config.listen:
                self._listen(url)
            self._endpoint.libStart()
            self._native.startMediaClock()
            self._choose_codecs()
            self._open_accounts()
            self._native.useNameTable()
        except pj.Error as error:
            raise StartupError(f"PJSIP could not be started: {explain(error)}") from None

    def replace_tls_files(self, copies: TlsFileCopies) -> None:
        """Use these copies for every new connection."""
        if self.tls_files is not None:
            self.tls_files.replace(copies)
            self._native.renewCredentials()

    def close(self, gate: pj.RequestGate) -> None:
        """Close everything; send BYE in the calls that remain."""
        if self._endpoint.libGetState() == pj.PJSUA_STATE_NULL:
            return
        self._native.stopMediaClock()
        self._native.closeWaker()
        self._native.resolveNoMore()
        self._native.stopHoldingByes()
        self._endpoint.libDestroy()
        gate.close()
        if self.tls_files is not None:
            self.tls_files.close()

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
        # Also for clip players and streams, whose caller has one leg less then. A port costs 8 bytes per other port.
        config.medConfig.maxMediaPorts = self._slots
        config.medConfig.ecTailLen = 0
        # No silence suppression: a contact centre's recorder takes a stream that stops for a dead call.
        config.medConfig.noVad = True
        config.logConfig.level = _SILENT
        config.logConfig.consoleLevel = _SILENT
        config.logConfig.msgLogging = 0
        return config

    def _listen(self, url: ListenUrl) -> None:
        try:
            index = self._open_tls(url) if url.transport == "tls" else self._open_transport(url)
        except pj.Error as error:
            cause = explain_listen_error(errno_of(error)) or explain(error)
            raise StartupError(f"sip.listen: {url} cannot be opened: {cause}") from None
        port = self._endpoint.transportGetInfo(index).localName.rpartition(":")[2]
        self.addresses.append(f"{url.transport}://{url.host}:{port}")

    def _open_tls(self, url: ListenUrl) -> int:
        if self.tls_files is None:
            self.tls_files = TlsFiles(self._config.tls)
        listener = pj.TlsListener()
        listener.host = _bound_address(url.host)
        listener.port = url.port
        listener.publicAddress = self._config.public_address or ""
        listener.certificateFile = self.tls_files.certificate_file
        listener.privateKeyFile = self.tls_files.private_key_file
        listener.authoritiesFile = self.tls_files.authorities_file
        listener.authoritiesDirectory = self.tls_files.authorities_directory
        listener.requireClientCertificate = self._config.tls.require_client_certificate
        return self._native.openTls(listener)

    def _open_transport(self, url: ListenUrl) -> int:
        transport = pj.TransportConfig()
        transport.port = url.port
        transport.boundAddress = _bound_address(url.host)
        if self._config.public_address:
            transport.publicAddress = self._config.public_address
        if url.transport == "udp":
            transport.sockOptParams.sockOpts.append(_RECEIVE_BUFFER)
        return self._endpoint.transportCreate(_TRANSPORTS[url.transport], transport)

    def _choose_codecs(self) -> None:
        wanted = {f"{name}/8000": rank for rank, name in enumerate(reversed(self._config.codecs), start=1)}
        for codec in self._endpoint.codecEnum2():
            name = "/".join(codec.codecId.split("/")[:2])
            if name == "G722/16000":  # RFC 3551, 4.5.2: its RTP clock rate is 8000
                name = "G722/8000"
            self._endpoint.codecSetPriority(codec.codecId, 127 + wanted[name] if name in wanted else 0)

    def _open_accounts(self) -> None:
        """Open an account for each use of SRTP, a property of PJSUA's accounts. The trunk's is the default account."""
        for use in _SRTP:
            account = self._native.Account()
            account.create(self._account_config(use), use == self._config.srtp)
            self._accounts.append(account)
            self.account_ids[use] = account.getId()

    def _account_config(self, srtp: SrtpUse) -> pj.AccountConfig:
        account = pj.AccountConfig()
        account.idUri = f"<sip:sipbridge@{self.host}>"
        account.regConfig.registerOnAdd = False
        if self._config.outbound_proxy:
            account.sipConfig.proxies = pj.StringVector([f"<{self._config.outbound_proxy};lr>"])
        # Reliable provisional responses and session timers for peers that ask for them (RFC 3262, RFC 4028).
        account.callConfig.prackUse = pj.PJSUA_100REL_OPTIONAL
        account.callConfig.timerUse = pj.PJSUA_SIP_TIMER_OPTIONAL
        first, last = self._config.rtp_ports
        media = account.mediaConfig
        media.transportConfig.port = first
        media.transportConfig.portRange = last - first
        media.transportConfig.boundAddress = self._bound_address
        if self._config.public_address:
            media.transportConfig.publicAddress = self._config.public_address
        media.srtpUse = _SRTP[srtp]
        # The operator decides if keys may be sent without TLS (sipbridge/config/lint.py).
        media.srtpSecureSignaling = 0
        media.srtpOpt.keyings = pj.IntVector([pj.PJMEDIA_SRTP_KEYING_SDES])
        media.srtpOpt.cryptos = pj.SrtpCryptoVector(list(map(_crypto, _CRYPTO_SUITES)))
        media.streamKaEnabled = False
        # An answer has one codec anyway: no renegotiation with the trunk.
        media.lockCodecEnabled = False
        return account


def _crypto(suite: str) -> pj.SrtpCrypto:
    """Return a crypto suite, whose key PJMEDIA makes for each leg."""
    crypto = pj.SrtpCrypto()
    crypto.name = suite
    return crypto


def _max_connections(slots: int) -> int:
    """Return how many connections leave enough descriptors for the audio of all legs and for everything else."""
    free = file_descriptors.limit() - _SOCKETS_PER_LEG * slots
    return max(_MIN_CONNECTIONS, min(_MAX_CONNECTIONS, free // 2))


def _bound_address(host: str) -> str:
    """Return the address to bind, in PJSUA's form: empty for all interfaces."""
    return "" if host == "0.0.0.0" else host  # noqa: S104 (of the configuration)
