"""The wall clock of a program under test: it may be set, while the monotonic clock goes on, as when NTP sets it."""

from __future__ import annotations

import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".cpp")


class WallClock:
    """A clock that is right until it is set. Start the program with the command `launcher` before its own."""

    def __init__(self, folder: Path) -> None:
        library = folder / "wall_clock.so"
        subprocess.run(["g++", "-shared", "-fPIC", "-O2", "-o", library, SOURCE], check=True)  # noqa: S603, S607 (our own, with the machine's compiler)
        self._file = folder / "wall_clock"
        self._file.write_bytes(bytes(8))
        self.launcher = ("env", f"LD_PRELOAD={library}", f"WALL_CLOCK={self._file}")

    def set_to(self, hours: float) -> None:
        """Set it this many hours off."""
        with self._file.open("r+b") as file:  # in place: the program has it mapped
            file.write(round(hours * 3600).to_bytes(8, "little", signed=True))
