"""Records are erased when they are too old, and on demand: from the API, and from the files."""

from __future__ import annotations

from pathlib import Path

from tests.harness.programs.simulator import Simulator
from tests.harness.waiting import wait_for

from .site import PlacedCall, Site, site

SECRET = "the password is swordfish"


def files_contain_secret(folder: Path) -> bool:
    """True if the caller's text is in the database or its write-ahead log."""
    return any(SECRET.encode() in (folder / name).read_bytes() for name in ("calls.db", "calls.db-wal"))


def call_that_is_handed_off(trunk: Site) -> tuple[PlacedCall, str]:
    call = trunk.call("release", "greeting")
    call_id = call.wait_until_answered()
    body = {"data": {"said": SECRET}, "transcript": [{"role": "caller", "text": SECRET}]}
    assert call.project.request(f"calls/{call_id}/handoff", "POST", body).status == 202
    return call, call_id


def test_a_record_that_is_too_old_is_erased_from_every_file(tmp_path: Path, cxone: Simulator) -> None:
    with site(tmp_path, cxone, store={"retention_hours": 2 / 3600}) as trunk:
        call, call_id = call_that_is_handed_off(trunk)
        wait_for(lambda: files_contain_secret(tmp_path), "the record to be written")
        call.wait_for_scenario()
        wait_for(lambda: not files_contain_secret(tmp_path), "the record to be erased", 20)
        assert call.project.call(call_id) is None
        assert call.project.handoff_state(call.contact.id).status == 404


def test_a_record_that_is_deleted_by_the_api_is_erased_from_every_file(trunk: Site) -> None:
    call, call_id = call_that_is_handed_off(trunk)
    erase = f"handoff_state?shared_id={call.contact.id}"
    assert call.project.request(erase, "DELETE").status == 409
    call.wait_for_scenario().record()
    trunk.bridge.wait_until_idle()
    assert files_contain_secret(trunk.folder)
    assert call.project.request(erase, "DELETE").status == 204
    wait_for(lambda: not files_contain_secret(trunk.folder), "the record to be erased")
    assert call.project.call(call_id) is None
    assert call.project.request(erase, "DELETE").status == 404
