"""The unit file, checked by systemd itself."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sipbridge.app.service import CLOSING_SECONDS, LAST_CALLS_SECONDS
from sipbridge.config import Config
from sipbridge.sip.endpoint import built_max_calls

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "config" / "deploy" / "systemd" / "sipbridge.service"
USER = ROOT / "config" / "deploy" / "systemd" / "sipbridge.sysusers.conf"
MOST_EXPOSURE = 1.6  # of 10, as systemd 252 computes it; 1.5 is the unit's value

needs_systemd_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze; Debian's package systemd has it"
)


@needs_systemd_analyze
def test_systemd_verifies_the_unit(tmp_path: Path) -> None:
    # With the path of the program on this machine, so that systemd looks for the program, too.
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/sipbridge", str(ROOT)))
    assert _analyze("verify", unit) == ""


@needs_systemd_analyze
def test_the_sandbox_leaves_little_exposed() -> None:
    _analyze("security", "--offline=true", f"--threshold={round(MOST_EXPOSURE * 10)}", UNIT)


@needs_systemd_analyze
def test_a_weaker_sandbox_is_detected(tmp_path: Path) -> None:
    weaker = tmp_path / UNIT.name
    weaker.write_text(re.sub(r"^(SystemCallFilter|ProtectSystem)=.*\n", "", UNIT.read_text(), flags=re.MULTILINE))
    with pytest.raises(subprocess.CalledProcessError):
        _analyze("security", "--offline=true", f"--threshold={round(MOST_EXPOSURE * 10)}", weaker)


def test_the_stop_timeout_covers_a_drain() -> None:
    drain_seconds: float = Config.model_fields["drain_seconds"].default
    needed = drain_seconds + LAST_CALLS_SECONDS + CLOSING_SECONDS
    assert float(_setting("TimeoutStopSec")) > needed


def test_the_file_limit_covers_all_calls_that_pjsip_carries() -> None:
    sockets = 6 + 1  # RTP and RTCP of three legs, and a WebSocket
    assert int(_setting("LimitNOFILE")) > sockets * built_max_calls() + 2_000


def test_the_user_of_the_unit_is_created() -> None:
    assert re.search(rf"^u {_setting('User')} ", USER.read_text(), re.MULTILINE)


def _setting(name: str) -> str:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.read(UNIT)
    return unit["Service"][name]


def _analyze(*arguments: str | Path) -> str:
    """Run systemd-analyze and return its output. Raises `CalledProcessError` if it reports an error."""
    command = ["systemd-analyze", "--no-pager", *map(str, arguments)]
    run = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # noqa: S603 (our own)
    return run.stdout
