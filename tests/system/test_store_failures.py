"""Each fault of the disk and the database: calls go on, and no record is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.harness.programs.simulator import Simulator
from tests.harness.programs.small_disk import SmallDisk
from tests.harness.waiting import wait_for

from .site import Site, site

DATABASE = "calls.db"


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> SmallDisk:
    return SmallDisk(tmp_path_factory.mktemp("disk") / "own")


@pytest.fixture(scope="module")
def shared_trunk(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator, disk: SmallDisk) -> Iterator[Site]:
    with own_site(tmp_path_factory.mktemp("failing"), cxone, disk) as running:
        yield running


@contextmanager
def own_site(folder: Path, cxone: Simulator, disk: SmallDisk) -> Iterator[Site]:
    """Run a bridge whose database is on a disk of its own."""
    with site(folder, cxone, launcher=disk.launcher, store={"url": f"sqlite:///{disk.folder / DATABASE}"}) as running:
        disk.set_program(running.bridge.program)
        yield running


FAULTS: dict[str, Callable[[SmallDisk], AbstractContextManager[None]]] = {
    "locked by another process": lambda disk: disk.locked(DATABASE),
    "no space left": SmallDisk.full,
    "disk errors": SmallDisk.failing_writes,
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_calls_go_on_and_records_wait_while_nothing_can_be_written(
    shared_trunk: Site, disk: SmallDisk, fault: Callable[[SmallDisk], AbstractContextManager[None]]
) -> None:
    bridge = shared_trunk.bridge
    bridge.wait_until_idle()  # calls of other tests still have their last record to write
    bridge.wait_for_metric(0, "sipbridge_store_pending_records")
    count = shared_trunk.count()
    disk.checkpoint(DATABASE)  # the free space of the log would take writes on a full disk
    with fault(disk):
        calls = [shared_trunk.call("release") for _ in range(3)]
        for call in calls:
            call.wait_for_scenario()
            assert call.record()["handoff"]["state"] == "handoff_completed"
            assert call.handoff_state()["handoff_state"] == "handoff_completed"
            assert len(call.signals()) == 1
        bridge.wait_for_metric(3, "sipbridge_store_pending_records")
        wait_for(lambda: count.growth("sipbridge_store_errors_total") >= 3, "each record to fail")
        assert disk.contacts(DATABASE).isdisjoint(call.contact.id for call in calls)
    bridge.wait_for_metric(0, "sipbridge_store_pending_records")
    assert disk.contacts(DATABASE) >= {call.contact.id for call in calls}
    if fault is not SmallDisk.failing_writes:  # the log is on the same disk
        bridge.program.logged('"store_failed"', '"store_failing"')


def test_a_read_only_folder_prevents_no_record(shared_trunk: Site, disk: SmallDisk) -> None:
    with disk.read_only():
        call = shared_trunk.call("release").wait_for_scenario()
        assert call.record()["handoff"]["state"] == "handoff_completed"
        wait_for(lambda: call.contact.id in disk.contacts(DATABASE), "the record in the file")


def test_a_deleted_database_is_created_again_with_all_its_records(shared_trunk: Site, disk: SmallDisk) -> None:
    before = shared_trunk.call("release").wait_for_scenario()
    before.record()
    for name in (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm"):
        disk.path(name).unlink()
    after = shared_trunk.call("release").wait_for_scenario()
    assert after.record()["handoff"]["state"] == "handoff_completed"
    contacts = {before.contact.id, after.contact.id}
    wait_for(lambda: disk.path(DATABASE).exists() and disk.contacts(DATABASE) >= contacts, "all records in a new file")


def test_an_overwritten_database_is_moved_aside_and_calls_go_on(shared_trunk: Site, disk: SmallDisk) -> None:
    disk.overwrite(DATABASE)
    call = shared_trunk.call("release").wait_for_scenario()
    assert len(call.signals()) == 1
    wait_for(lambda: call.contact.id in disk.contacts(DATABASE), "the record in a new file")
    assert call.handoff_state()["handoff_state"] == "handoff_completed"
    aside = min(disk.path("").glob(f"{DATABASE}.corrupt-*"), key=lambda path: len(path.name))
    assert aside.read_bytes().startswith(b"overwritten")
    shared_trunk.bridge.program.logged('"store_corrupt"')


def test_a_bridge_whose_database_stays_locked_stops_in_time(tmp_path: Path, cxone: Simulator) -> None:
    disk = SmallDisk(tmp_path / "own")
    with own_site(tmp_path, cxone, disk) as trunk, disk.locked(DATABASE):
        trunk.call("release").wait_for_scenario().record()
        trunk.bridge.program.terminate()
        assert trunk.bridge.program.wait(15) == 0
        assert "records unwritten when the store closed: 1" in trunk.bridge.program.log.read_text()
