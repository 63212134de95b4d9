from __future__ import annotations

import pytest
from sipbridge_pjsip import pjsua2 as pj

from sipbridge.sip.connection_log import ConnectionLog

TRUSTED = "192.0.2.1"


def _trusts(address: str) -> bool:
    return address == TRUSTED


@pytest.mark.parametrize("kind", [pj.EventTlsFailed, pj.EventTlsRefused, pj.EventConnectionClosed])
async def test_a_flood_of_connections_fills_no_disk(kind: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    log = ConnectionLog(_trusts)
    for port in range(1000):
        log.note(kind, port, 0, f"{TRUSTED}\nEnd of file (PJ_EEOF)")
    assert len(caplog.records) == 20


async def test_handshakes_of_others_are_not_written(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    log = ConnectionLog(_trusts)
    log.note(pj.EventTlsRefused, 5061, 0, "198.51.100.1\nEnd of file (PJ_EEOF)")
    log.note(pj.EventTlsRefused, 5061, 0, f"{TRUSTED}\nEnd of file (PJ_EEOF)")
    assert [record.getMessage() for record in caplog.records] == [
        f"inbound TLS from {TRUSTED}, port 5061, failed: the peer closed the connection"
    ]


async def test_what_the_native_layer_has_summed_up_is_written_with_its_count(caplog: pytest.LogCaptureFixture) -> None:
    log = ConnectionLog(_trusts)
    log.note(pj.EventUnreadable, 7, 0, TRUSTED)
    log.note(pj.EventStranger, 8, 200, f"{TRUSTED}\nINVITE")
    fields = [(getattr(record, "event", ""), getattr(record, "count", 0)) for record in caplog.records]
    assert fields == [("sip_unreadable", 7), ("dialog_stranger", 8)]
