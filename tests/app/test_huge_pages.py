from __future__ import annotations

import mmap
import re
import time
from pathlib import Path

import pytest

from sipbridge.app import huge_pages
from sipbridge.app.huge_pages import use_huge_pages

SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
BLOCK = 2 << 20
BLOCKS = 16
MAP_NORESERVE = 0x4000  # mmap(2) on Linux; Python 3.13 has it in its module

needs_huge_pages = pytest.mark.skipif(
    not SETTING.exists() or "[never]" in SETTING.read_text(), reason="this system has no transparent huge pages"
)


def blocks_of(kind: str) -> float:
    """Return the memory of this process of a kind of smaps_rollup (proc(5)), in blocks of a huge page."""
    (kilobytes,) = re.findall(rf"^{kind}: +([0-9]+) kB$", Path("/proc/self/smaps_rollup").read_text(), re.MULTILINE)
    return int(kilobytes) * 1024 / BLOCK


def private_memory() -> mmap.mmap:
    # One more, since the mapping need not begin at the beginning of a block.
    return mmap.mmap(-1, (BLOCKS + 1) * BLOCK, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


@needs_huge_pages
def test_memory_in_use_moves_into_huge_pages_and_keeps_its_content() -> None:
    use_huge_pages()  # what is there already
    with private_memory() as memory:
        content = b"0123456789abcdef" * (len(memory) // 16)
        memory[:] = content
        before = blocks_of("AnonHugePages")
        assert use_huge_pages() >= BLOCKS
        assert blocks_of("AnonHugePages") >= before + BLOCKS
        assert memory[:] == content


@needs_huge_pages
def test_memory_that_is_hardly_used_does_not_grow() -> None:
    use_huge_pages()
    with private_memory() as memory:
        for at in range(0, len(memory), BLOCK // 4):
            memory[at] = 1
        before = blocks_of("Rss")
        use_huge_pages()
        assert blocks_of("Rss") < before + BLOCKS / 2


@needs_huge_pages
def test_a_reservation_of_terabytes_takes_no_time() -> None:
    # As AddressSanitizer makes one. Its blocks would take minutes.
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    with mmap.mmap(-1, 2**43, flags=flags):
        began = time.process_time()
        use_huge_pages()
        assert time.process_time() - began < 1


def test_a_system_without_huge_pages_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huge_pages, "_SETTINGS", tmp_path)
    assert use_huge_pages() == 0
    (tmp_path / "hpage_pmd_size").write_text(f"{BLOCK}\n")
    (tmp_path / "enabled").write_text("always madvise [never]\n")
    assert use_huge_pages() == 0


@pytest.mark.parametrize("is_readable", [True, False])
def test_a_start_goes_on_if_the_system_does_not_say_what_is_in_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, is_readable: bool
) -> None:
    monkeypatch.setattr(huge_pages, "_SETTINGS", tmp_path)
    (tmp_path / "hpage_pmd_size").write_text(f"{BLOCK}\n")
    (tmp_path / "enabled").write_text("[always] madvise never\n")
    # The memory of this process can be opened, but not read at address 0.
    monkeypatch.setattr(huge_pages, "_PAGEMAP", Path("/proc/self/mem") if is_readable else tmp_path / "none")
    monkeypatch.setattr(huge_pages, "_blocks", lambda _size: iter([0]))
    assert use_huge_pages() == 0
