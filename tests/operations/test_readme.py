"""The README's path from a clone to a service, run word for word.

It runs as root, in a mount namespace whose /etc, /opt, /usr/local and /var/lib are overlays: the machine is not
changed. Instead of systemd, the test runs the command of the unit; `.ci/service` boots a real systemd.
"""

from __future__ import annotations

import configparser
import os
import re
import shlex
import subprocess
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
UNIT = ROOT / "config" / "deploy" / "systemd" / "sipbridge.service"
SECRETS = ("s3cret-of-app", "s3cret-of-access")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="installs a service, which only root can")


def blocks(kind: str) -> list[str]:
    """The code blocks of that kind in the section, without the indentation of their list."""
    section = README.partition("## From a clone to a service\n")[2].partition("\n## ")[0]
    found = re.findall(rf"^( *)```{kind}\n(.*?)^\1```$", section, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(text) for _, text in found]


@needs_root
@pytest.mark.timeout(900)  # PJSIP is compiled if this system's Python differs from that of .venv
def test_the_path_from_a_clone_to_a_service_works_word_for_word(tmp_path: Path) -> None:
    install, check, start = blocks("sh")
    (secrets,) = blocks("bash")
    (config,) = blocks("yaml")
    (tmp_path / "bridge.yaml").write_text(config)
    (ready,) = [line for line in start.splitlines() if line.startswith("curl ")]
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.read(UNIT)
    service = unit["Service"]
    as_user = f"setpriv --reuid {service['User']} --regid {service['Group']} --init-groups"
    serve = f"""
        ip link set lo up
        {as_user} {service["ExecStart"]} > {tmp_path}/out 2> {tmp_path}/err &
        until grep -q ready {tmp_path}/out || ! kill -0 $!; do sleep 0.1; done
        {ready}
        kill -TERM $!
        wait $!
    """
    script = f"""
        set -euo pipefail
        for folder in etc opt usr/local var/lib; do
          mkdir -p {tmp_path}/upper/$folder {tmp_path}/scratch/$folder
          mount -t overlay overlay /$folder \\
            -o lowerdir=/$folder,upperdir={tmp_path}/upper/$folder,workdir={tmp_path}/scratch/$folder
        done
        cd {ROOT}
        (\n{install})
        (\n{secrets}) < {tmp_path}/answers 2>> {tmp_path}/made
        cp {tmp_path}/bridge.yaml /etc/sipbridge/bridge.yaml
        TOKEN=$(sed -n 's/^token: *//p' {tmp_path}/made | head -n 1)
        (\n{check}) <<< "$TOKEN"
        unshare --net bash -euc {shlex.quote(textwrap.dedent(serve))}
    """
    (tmp_path / "answers").write_text("".join(f"{secret}\n" for secret in SECRETS))
    command = ["unshare", "--mount", "--propagation", "private", "bash", "-c", textwrap.dedent(script)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 (our own)
    said = f"{run.stdout}\n{run.stderr}\n{_text(tmp_path / 'out')}\n{_text(tmp_path / 'err')}"
    assert run.returncode == 0, said
    assert f"{'/etc/sipbridge/bridge.yaml'}: valid" in run.stdout, said
    assert "client acme, project billing" in run.stdout, said
    kept = {path.name: path for path in (tmp_path / "upper/etc/sipbridge/secrets").iterdir()}
    assert [kept[name].read_text() for name in ("acme_client_secret", "acme_access_key_secret")] == list(SECRETS)
    assert {oct(path.stat().st_mode & 0o777) for path in kept.values()} == {"0o640"}
    assert '"message":"stopped"' in _text(tmp_path / "err")


def test_the_example_is_valid_with_the_variables_in_its_header() -> None:
    head = (ROOT / "config" / "example.yaml").read_text(encoding="utf-8").partition("\nsip:")[0]
    commands = re.findall(r"^#   ((?:export|sipbridge) .*)$", head, re.MULTILINE)
    assert commands[-1].startswith("sipbridge check")
    environ = {"PATH": f"{ROOT / '.venv' / 'bin'}:/usr/bin:/bin"}
    command = ["/bin/bash", "-euc", "\n".join(commands)]
    run = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)  # noqa: S603 (our own)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("config/example.yaml: valid\n")


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
