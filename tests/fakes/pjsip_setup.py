"""Opening and closing of PJSIP without PJSIP."""

from __future__ import annotations

from collections.abc import Sequence

from sipbridge_pjsip import pjsua2 as pj


class FakeEndpoint(pj.Endpoint):
    """Implements the part of PJSUA2's endpoint that sipbridge uses. `steps` has what was done, in order."""

    def __init__(self, steps: list[str]) -> None:
        self.steps = steps
        self.config: pj.EpConfig | None = None
        self.failing: dict[int, pj.Error] = {}
        self.transports: list[tuple[int, int, str, str]] = []
        self.priorities: dict[str, int] = {}
        self.state = pj.PJSUA_STATE_NULL

    def libCreate(self) -> None:
        self.steps.append("libCreate")
        self.state = pj.PJSUA_STATE_NULL + 1

    def libInit(self, prmEpConfig: pj.EpConfig, /) -> None:
        self.steps.append("libInit")
        self.config = prmEpConfig

    def libStart(self) -> None:
        self.steps.append("libStart")

    def libGetState(self) -> int:
        return self.state

    def libDestroy(self) -> None:
        self.steps.append("libDestroy")

    def transportCreate(self, type: int, cfg: pj.TransportConfig, /) -> int:
        if type in self.failing:
            raise self.failing[type]
        self.steps.append("transportCreate")
        self.transports.append((type, cfg.port, cfg.boundAddress, cfg.publicAddress))
        return len(self.transports) - 1

    def transportGetInfo(self, id: int, /) -> pj.TransportInfo:
        info = pj.TransportInfo()
        info.localName = f"192.0.2.9:{5060 + id}"
        return info

    def codecEnum2(self) -> Sequence[pj.CodecInfo]:
        found = []
        for name in ("PCMU/8000/1", "PCMA/8000/1", "G722/16000/1", "opus/48000/2"):
            codec = pj.CodecInfo()
            codec.codecId = name
            found.append(codec)
        return found

    def codecSetPriority(self, codec_id: str, priority: int, /) -> None:
        self.priorities[codec_id] = priority


class FakeAccount(pj.Account):
    """An account with a number."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.config: pj.AccountConfig | None = None
        self.default = False

    def create(self, cfg: pj.AccountConfig, make_default: bool = False, /) -> None:  # noqa: FBT001, FBT002 (PJSUA2's)
        self.config, self.default = cfg, make_default

    def getId(self) -> int:
        return self.number


class FakeGate(pj.RequestGate):
    """A gate that notes when it is opened and closed."""

    def __init__(self, steps: list[str]) -> None:
        self.steps = steps

    def open(self) -> None:
        self.steps.append("gate.open")

    def close(self) -> None:
        self.steps.append("gate.close")


class FakeSetup:
    """Implements `SetupFunctions`. `steps` has the calls, in order; `connections` what `watchConnections` was given."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.endpoint = FakeEndpoint(self.steps)
        self.accounts: list[FakeAccount] = []
        self.listener: pj.TlsListener | None = None
        self.connections = 0

    def Endpoint(self) -> pj.Endpoint:
        return self.endpoint

    def Account(self) -> pj.Account:
        self.accounts.append(FakeAccount(10 + len(self.accounts)))
        return self.accounts[-1]

    def watchConnections(self, most: int) -> None:
        self.connections = most
        self.steps.append("watchConnections")

    def openTls(self, listener: pj.TlsListener) -> int:
        self.listener = listener
        self.steps.append("openTls")
        return 0

    def setLogLevel(self, level: int) -> None:
        assert level >= 0
        self.steps.append("setLogLevel")

    def setPoolCacheLimit(self, bytes: int) -> None:
        assert bytes >= 0
        self.steps.append("setPoolCacheLimit")

    def reserveDescriptors(self, first: int) -> None:
        assert first >= 0
        self.steps.append("reserveDescriptors")

    def installCallbacks(self) -> None:
        self.steps.append("installCallbacks")

    def disableTcpSwitch(self) -> None:
        self.steps.append("disableTcpSwitch")

    def resolveNames(self) -> None:
        self.steps.append("resolveNames")

    def openWaker(self) -> None:
        self.steps.append("openWaker")

    def watchDescriptions(self) -> None:
        self.steps.append("watchDescriptions")

    def watchSources(self) -> None:
        self.steps.append("watchSources")

    def watchResponses(self) -> None:
        self.steps.append("watchResponses")

    def holdByes(self) -> None:
        self.steps.append("holdByes")

    def startMediaClock(self) -> None:
        self.steps.append("startMediaClock")

    def useNameTable(self) -> None:
        self.steps.append("useNameTable")

    def renewCredentials(self) -> None:
        self.steps.append("renewCredentials")

    def stopMediaClock(self) -> None:
        self.steps.append("stopMediaClock")

    def closeWaker(self) -> None:
        self.steps.append("closeWaker")

    def resolveNoMore(self) -> None:
        self.steps.append("resolveNoMore")

    def stopHoldingByes(self) -> None:
        self.steps.append("stopHoldingByes")
