"""Huge pages for the memory that lasts as long as the process.

Between two calls other programs use the processor's caches, so each call looks up the addresses of Python's objects
again. With pages of 2 MB there are few addresses to look up.
"""

from __future__ import annotations

import ctypes
import mmap
from array import array
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

_SETTINGS = Path("/sys/kernel/mm/transparent_hugepage")
_PAGEMAP = Path("/proc/self/pagemap")
_COLLAPSE = 25  # MADV_COLLAPSE of madvise(2), since Linux 6.1
_ENTRY_BYTES = 8  # of /proc/self/pagemap, one for each page; its highest bit is set if the page is in memory
_PRESENT_BIT = 63
_LONGEST = 2**32  # bytes of a mapping; longer ones are reservations, as of terabytes by AddressSanitizer


def use_huge_pages() -> int:
    """Move the memory that is in use now into huge pages; return their number.

    Memory of which less than half is in use stays as it is, so the process grows by a megabyte at most. Nothing happens
    if the system has none to spare, cannot do it, does not say what is in use, or is set never to do it.
    """
    try:
        used, size = _half_used_blocks()
    except OSError:
        return 0
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return sum(advise(address, size, _COLLAPSE) == 0 for address in used)


def _half_used_blocks() -> tuple[list[int], int]:
    """Return the addresses of the blocks to move, and their size in bytes. Raises `OSError`."""
    size = int((_SETTINGS / "hpage_pmd_size").read_text())
    if "[never]" in (_SETTINGS / "enabled").read_text():
        return [], size
    with FileIO(_PAGEMAP) as pagemap:
        return [address for address in _blocks(size) if _is_half_used(pagemap, address, size)], size


def _blocks(size: int) -> Iterator[int]:
    """Yield the addresses at which a huge page can be: of private memory that belongs to no file."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, access, _, _, _, *name = line.split(maxsplit=5)
        if access == "rw-p" and (not name or name == ["[heap]"]):
            start, end = (int(address, 16) for address in addresses.split("-"))
            if end - start <= _LONGEST:
                yield from range(-(-start // size) * size, end - size + 1, size)


def _is_half_used(pagemap: FileIO, address: int, size: int) -> bool:
    pagemap.seek(address // mmap.PAGESIZE * _ENTRY_BYTES)
    entries = array("Q", pagemap.read(size // mmap.PAGESIZE * _ENTRY_BYTES))
    return 2 * sum(entry >> _PRESENT_BIT for entry in entries) >= len(entries)
