from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from .asterisk_server import TEMPLATES, AsteriskSettings, write_configuration

SETTINGS = {field.name for field in fields(AsteriskSettings)}
PLACE = {"folder", "sip_port", "http_port"}


def test_the_configuration_names_every_setting_and_no_other() -> None:
    names = {name.lower() for file in TEMPLATES.iterdir() for name in re.findall(r"@(\w+)@", file.read_text())}
    assert names == SETTINGS | PLACE


def test_each_name_is_replaced_by_its_value(tmp_path: Path) -> None:
    write_configuration(tmp_path, {name: f"<{name}>" for name in SETTINGS | PLACE})
    written = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert set(written) == {file.name for file in TEMPLATES.iterdir()}
    assert "bind = 127.0.0.1:<sip_port>" in written["pjsip.conf"]
    assert "exten = <number>,1,Goto" in written["extensions.conf"]
    assert not any("@" in text for text in written.values())
