"""The configuration of Kamailio, checked by Kamailio itself."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.harness.programs.kamailio import DEPLOYED, executable


@pytest.mark.parametrize(
    "uncommented",
    [(), ("WITH_TLS", "listen=tls:"), ("HOMER",), ("mhomed=yes",), ("WITH_TLS", "listen=tls:", "HOMER", "mhomed=yes")],
)
def test_kamailio_accepts_the_configuration_with_each_option(tmp_path: Path, uncommented: tuple[str, ...]) -> None:
    folder = _copy(tmp_path)
    site = folder / "site.cfg"
    for option in uncommented:
        site.write_text(re.sub(rf"^# (.*{re.escape(option)}.*)$", r"\1", site.read_text(), count=1, flags=re.MULTILINE))
        assert re.search(rf"^[^ ]*(?:define )?{re.escape(option)}", site.read_text(), re.MULTILINE)
    checked = _check(folder)
    assert checked.returncode == 0, checked.stderr


def test_kamailio_finds_an_error(tmp_path: Path) -> None:
    folder = _copy(tmp_path)
    config = folder / "kamailio.cfg"
    config.write_text(config.read_text().replace("record_route();", "record_rout();"))
    assert "record_rout" in _check(folder).stderr


def _copy(folder: Path) -> Path:
    copied = Path(shutil.copytree(DEPLOYED, folder / "kamailio"))
    site = copied / "site.cfg"
    site.write_text(site.read_text().replace("/etc/kamailio", str(copied)))
    return copied


def _check(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [executable("kamailio"), "-c", "-f", str(folder / "kamailio.cfg"), "-Y", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own)
