"""How PJSIP is set up for a configuration. The system tests show that it then works."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from sipbridge_pjsip import pjsua2 as pj

from sipbridge import file_descriptors
from sipbridge.config import SipConfig
from sipbridge.errors import StartupError
from sipbridge.sip.endpoint import SPARE_SLOTS, PjsipEndpoint, built_max_calls
from sipbridge.sip.resources import LEGS_PER_CALL
from tests.fakes.pjsip_setup import FakeGate, FakeSetup
from tests.harness.certificates import Authority, tls_settings

UDP, TCP = "udp://192.0.2.9:5060", "tcp://192.0.2.9:5060"


def open_endpoint(setup: FakeSetup, **sip: Any) -> PjsipEndpoint:  # noqa: ANN401 (keys of `sip`)
    endpoint = PjsipEndpoint(SipConfig.model_validate({"listen": [UDP, TCP], **sip}), setup)
    endpoint.open(FakeGate(setup.steps))
    return endpoint


@pytest.fixture
def setup() -> FakeSetup:
    return FakeSetup()


def test_every_step_comes_after_those_that_it_needs(setup: FakeSetup) -> None:
    open_endpoint(setup)
    steps = setup.steps
    assert steps[:2] == ["setLogLevel", "libCreate"], "before libCreate PJSIP would print to standard output"
    started = steps.index("libStart")
    for step in ("installCallbacks", "openWaker", "watchConnections", "gate.open", "holdByes", "transportCreate"):
        assert steps.index("libInit") < steps.index(step) < started
    assert steps.index("gate.open") < steps.index("holdByes")
    assert steps[-1] == "useNameTable"


def test_closing_undoes_opening(setup: FakeSetup) -> None:
    endpoint = open_endpoint(setup)
    setup.steps.clear()
    endpoint.close(FakeGate(setup.steps))
    assert setup.steps == [
        "stopMediaClock",
        "closeWaker",
        "resolveNoMore",
        "stopHoldingByes",
        "libDestroy",
        "gate.close",
    ]


def test_an_endpoint_that_was_never_opened_is_not_closed(setup: FakeSetup) -> None:
    endpoint = PjsipEndpoint(SipConfig(), setup)
    endpoint.close(FakeGate(setup.steps))
    assert setup.steps == []


def test_it_has_slots_for_all_legs_of_all_calls(setup: FakeSetup) -> None:
    open_endpoint(setup, max_calls=10)
    config = setup.endpoint.config
    assert config is not None
    assert config.uaConfig.maxCalls == config.medConfig.maxMediaPorts == 10 * LEGS_PER_CALL + SPARE_SLOTS
    assert built_max_calls() * LEGS_PER_CALL + SPARE_SLOTS <= pj.builtMaxLegs()


def test_pjsip_has_no_threads_of_its_own_and_no_log(setup: FakeSetup) -> None:
    open_endpoint(setup)
    config = setup.endpoint.config
    assert config is not None
    assert (config.uaConfig.threadCnt, config.uaConfig.mainThreadOnly) == (0, True)
    assert (config.logConfig.level, config.logConfig.consoleLevel, config.logConfig.msgLogging) == (0, 0, 0)


def test_it_listens_on_the_addresses_of_the_configuration(setup: FakeSetup) -> None:
    endpoint = open_endpoint(setup, public_address="203.0.113.5")
    assert setup.endpoint.transports == [
        (pj.PJSIP_TRANSPORT_UDP, 5060, "192.0.2.9", "203.0.113.5"),
        (pj.PJSIP_TRANSPORT_TCP, 5060, "192.0.2.9", "203.0.113.5"),
    ]
    assert endpoint.addresses == ["udp://192.0.2.9:5060", "tcp://192.0.2.9:5061"]


@pytest.mark.parametrize(
    ("listen", "public_address", "host", "bound"),
    [
        (UDP, None, "192.0.2.9", "192.0.2.9"),
        ("udp://0.0.0.0:5060", None, "127.0.0.1", ""),
        ("udp://0.0.0.0:5060", "203.0.113.5", "203.0.113.5", ""),
    ],
)
def test_our_uris_name_the_public_address_if_there_is_one(
    setup: FakeSetup, listen: str, public_address: str | None, host: str, bound: str
) -> None:
    endpoint = open_endpoint(setup, listen=[listen], public_address=public_address)
    assert endpoint.host == host
    assert setup.endpoint.transports[0][2] == bound


@pytest.mark.parametrize(
    ("proxy", "route"),
    [
        (None, []),
        ("sip:192.0.2.4", ["<sip:192.0.2.4;transport=udp;lr>"]),
        ("sip:proxy.example.com:5070;transport=tcp", ["<sip:proxy.example.com:5070;transport=tcp;lr>"]),
    ],
)
def test_calls_of_our_own_have_a_route_to_the_outbound_proxy(
    setup: FakeSetup, proxy: str | None, route: list[str]
) -> None:
    open_endpoint(setup, outbound_proxy=proxy)
    configs = [account.config for account in setup.accounts]
    assert [list(config.sipConfig.proxies) for config in configs if config is not None] == [route] * 3


def test_an_address_that_cannot_be_opened_is_named(setup: FakeSetup) -> None:
    error = pj.Error()
    error.status, error.reason = 120_000 + errno.EADDRINUSE, "Address already in use"
    setup.endpoint.failing[pj.PJSIP_TRANSPORT_TCP] = error
    with pytest.raises(StartupError, match=rf"^sip\.listen: {TCP} cannot be opened: "):
        open_endpoint(setup)


def test_pjsip_that_cannot_be_started_is_a_startup_error(setup: FakeSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        error = pj.Error()
        error.status, error.reason = 70_007, "Too many objects of the specified type (PJ_ETOOMANY)"
        raise error

    monkeypatch.setattr(setup, "startMediaClock", fail)
    with pytest.raises(StartupError, match="PJSIP could not be started: too many at once"):
        open_endpoint(setup)


def test_only_the_codecs_of_the_configuration_are_served_in_its_order(setup: FakeSetup) -> None:
    open_endpoint(setup, codecs=["G722", "PCMU"])
    priorities = setup.endpoint.priorities
    assert priorities["G722/16000/1"] > priorities["PCMU/8000/1"] > 0
    assert priorities["PCMA/8000/1"] == priorities["opus/48000/2"] == 0


def test_each_use_of_srtp_has_an_account_and_the_trunks_is_the_default(setup: FakeSetup) -> None:
    endpoint = open_endpoint(setup, srtp="mandatory", rtp_ports=[30000, 30099])
    assert endpoint.account_ids == {"disabled": 10, "optional": 11, "mandatory": 12}
    assert [account.default for account in setup.accounts] == [False, False, True]
    configs = [account.config for account in setup.accounts]
    assert all(configs)
    media = [config.mediaConfig for config in configs if config is not None]
    assert [each.srtpUse for each in media] == [0, 1, 2]
    assert {(each.transportConfig.port, each.transportConfig.portRange) for each in media} == {(30000, 99)}


@pytest.mark.parametrize(("limit", "connections"), [(1_000_000, 2000), (4000, 1876), (100, 50)])
def test_connections_leave_descriptors_for_the_audio_of_all_legs(
    setup: FakeSetup, monkeypatch: pytest.MonkeyPatch, limit: int, connections: int
) -> None:
    monkeypatch.setattr(file_descriptors, "limit", lambda: limit)
    open_endpoint(setup, max_calls=20)
    assert setup.connections == connections


def test_a_tls_listener_reads_copies_of_its_files_and_new_copies_after_a_renewal(
    setup: FakeSetup, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("own")
    config = {"listen": ["tls://192.0.2.9:5061"], "tls": tls_settings(pair, authority)}
    endpoint = open_endpoint(setup, **config)
    listener, tls_files = setup.listener, endpoint.tls_files
    assert listener is not None
    assert tls_files is not None
    assert Path(listener.certificateFile).read_bytes() == pair.certificate.read_bytes()
    assert Path(listener.privateKeyFile).read_bytes() == pair.key.read_bytes()
    assert endpoint.addresses == ["tls://192.0.2.9:5060"]
    renewed = authority.issue("renewed")
    pair.certificate.write_bytes(renewed.certificate.read_bytes())
    pair.key.write_bytes(renewed.key.read_bytes())
    endpoint.replace_tls_files(tls_files.read(SipConfig.model_validate(config).tls))
    assert Path(listener.certificateFile).read_bytes() == renewed.certificate.read_bytes()
    assert setup.steps[-1] == "renewCredentials"
    endpoint.close(FakeGate(setup.steps))
