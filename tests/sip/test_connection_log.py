from __future__ import annotations

import pytest
from sipbridge_pjsip import pjsua2 as pj

from sipbridge.sip.connection_log import ConnectionLog
from sipbridge.sip.thread import CallEvent

TRUSTED = "192.0.2.1"
STRANGER = "198.51.100.1"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> ConnectionLog:
    caplog.set_level("INFO")
    return ConnectionLog(lambda address: address == TRUSTED)


def event(kind: int, number: int, text: str, status: int = 0) -> CallEvent:
    return CallEvent(kind, -1, number, status, text, final=True)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (pj.EventTlsFailed, f"TLS connection to {TRUSTED}, port 5061, failed: the peer closed the connection"),
        (pj.EventTlsRefused, f"inbound TLS from {TRUSTED}, port 5061, failed: the peer closed the connection"),
        (pj.EventConnectionClosed, f"connection from {TRUSTED}, port 5061, closed: End of file (PJ_EEOF)"),
    ],
)
async def test_a_connection_is_logged_with_its_peer_and_cause(
    log: ConnectionLog, caplog: pytest.LogCaptureFixture, kind: int, message: str
) -> None:
    assert kind in log.kinds
    log.log(event(kind, 5061, f"{TRUSTED}\nEnd of file (PJ_EEOF)"))
    assert [record.getMessage() for record in caplog.records] == [message]


@pytest.mark.parametrize("kind", [pj.EventTlsFailed, pj.EventTlsRefused, pj.EventConnectionClosed])
async def test_a_flood_of_one_source_is_logged_in_part_and_hides_no_other_source(
    caplog: pytest.LogCaptureFixture, kind: int
) -> None:
    caplog.set_level("INFO")
    log = ConnectionLog(lambda _: True)
    for port in range(1000):
        log.log(event(kind, port, f"{STRANGER}\nEnd of file (PJ_EEOF)"))
    log.log(event(kind, 5061, f"{TRUSTED}\nEnd of file (PJ_EEOF)"))
    hosts = [STRANGER if STRANGER in record.getMessage() else TRUSTED for record in caplog.records]
    assert hosts == [STRANGER] * 5 + [TRUSTED]


@pytest.mark.parametrize("kind", [pj.EventTlsFailed, pj.EventTlsRefused, pj.EventConnectionClosed])
async def test_a_flood_of_many_sources_is_logged_in_part(caplog: pytest.LogCaptureFixture, kind: int) -> None:
    caplog.set_level("INFO")
    log = ConnectionLog(lambda _: True)
    for number in range(1000):
        log.log(event(kind, 5061, f"192.0.2.{number}\nEnd of file (PJ_EEOF)"))
    assert len(caplog.records) == 20


async def test_handshakes_of_untrusted_addresses_are_not_logged(
    log: ConnectionLog, caplog: pytest.LogCaptureFixture
) -> None:
    log.log(event(pj.EventTlsRefused, 5061, f"{STRANGER}\nEnd of file (PJ_EEOF)"))
    assert caplog.records == []


async def test_events_counted_by_the_native_layer_are_logged_with_their_count(
    log: ConnectionLog, caplog: pytest.LogCaptureFixture
) -> None:
    log.log(event(pj.EventUnreadable, 7, TRUSTED))
    log.log(event(pj.EventStranger, 8, f"{TRUSTED}\nINVITE", status=200))
    log.log(event(pj.EventStranger, 9, f"{TRUSTED}\nBYE"))
    fields = [
        (getattr(record, "event", ""), getattr(record, "sip_message", ""), getattr(record, "count", 0))
        for record in caplog.records
    ]
    assert fields == [
        ("sip_unreadable", "", 7),
        ("dialog_stranger", "a 200 response to INVITE", 8),
        ("dialog_stranger", "BYE", 9),
    ]
