from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sipbridge import thread_names


@pytest.fixture(autouse=True)
def _names() -> Iterator[None]:
    thread_names.pass_to_kernel()
    yield
    threading.setprofile(None)


def _kernel_name() -> str:
    return Path("/proc/thread-self/comm").read_text().strip()


def _name_of(thread_name: str) -> str:
    names: list[str] = []
    thread = threading.Thread(target=lambda: names.append(_kernel_name()), name=thread_name)
    thread.start()
    thread.join()
    return names[0]


def test_the_kernel_knows_a_thread_by_its_python_name() -> None:
    assert _name_of("sip") == "sip"


def test_a_long_name_is_cut_to_what_the_kernel_keeps() -> None:
    assert _name_of("a-writer-of-everything") == "a-writer-of-eve"


def test_threads_of_an_executor_have_names_too() -> None:
    with ThreadPoolExecutor(1, "reader") as threads:
        assert threads.submit(_kernel_name).result() == "reader_0"


def test_no_profiler_stays_in_the_thread() -> None:
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(sys.getprofile).result() is None
