from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path

from .arrival_times import ANCILLARY_BYTES, arrival_ns, record_arrivals
from .threads import NO_USAGE, Thread, ThreadUsage, threads, usage_by_name

WAIT_SECONDS = 0.05


def test_a_datagram_arrives_when_the_kernel_has_it_and_not_when_it_is_read() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as receiver, socket.socket(type=socket.SOCK_DGRAM) as sender:
        receiver.bind(("127.0.0.1", 0))
        record_arrivals(receiver)
        _wait_for_arrival_times(receiver, sender)
        before = time.time_ns()
        sender.sendto(b"first", receiver.getsockname())
        sent = time.time_ns()
        time.sleep(WAIT_SECONDS)
        data, ancillary, _, _ = receiver.recvmsg(100, ANCILLARY_BYTES)
    assert data == b"first"
    assert before <= arrival_ns(ancillary) <= sent


def _wait_for_arrival_times(receiver: socket.socket, sender: socket.socket) -> None:
    """The kernel turns its clock for datagrams on in the background; until then they get the time of their reading."""
    for _ in range(100):
        sender.sendto(b"early", receiver.getsockname())
        time.sleep(0.01)
        before_reading = time.time_ns()
        if arrival_ns(receiver.recvmsg(100, ANCILLARY_BYTES)[1]) < before_reading:
            return


def test_a_thread_that_works_uses_processor_time_and_one_that_sleeps_waits() -> None:
    before = threads(os.getpid())
    spent = time.thread_time()
    while time.thread_time() - spent < WAIT_SECONDS:
        pass
    for _ in range(5):
        time.sleep(0.001)
    usage = usage_by_name(before, threads(os.getpid()))["event loop"]
    assert usage.cpu_ms >= 1000 * WAIT_SECONDS
    assert usage.waits >= 5


def test_threads_of_one_executor_are_added_up_and_a_new_thread_counts_from_its_start() -> None:
    before = {1: Thread(1, "reader", ThreadUsage(10, 4, 1))}
    after = {1: Thread(1, "reader", ThreadUsage(12, 7, 1)), 2: Thread(2, "reader", ThreadUsage(5, 2, 3))}
    assert usage_by_name(before, after) == {"reader": ThreadUsage(7, 5, 3)}


def test_a_thread_that_has_ended_is_left_out() -> None:
    assert usage_by_name({1: Thread(1, "reader", NO_USAGE)}, {}) == {}


def test_the_number_in_the_name_of_an_executors_thread_is_dropped() -> None:
    found: list[str] = []

    def run() -> None:
        Path("/proc/thread-self/comm").write_text("store-reader_3")
        found.extend(each.name for each in threads(os.getpid()).values())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert "store-reader" in found
