"""Why a signature is not valid, and `sipbridge webhook-verify`, which says so."""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sipbridge.cli import main
from sipbridge.webhooks import find_fault

from .receiver import hmac_sha256

SECRET = b"0123456789abcdef"
BODY = b'{"id":"1"}'
NOW = datetime(2026, 11, 29, 8, 0, tzinfo=UTC)
TIMESTAMP = str(int(NOW.timestamp()))
SIGNATURE = f"sha256={hmac_sha256(SECRET, TIMESTAMP.encode() + b'.' + BODY)}"


def test_a_valid_request_has_no_fault() -> None:
    assert find_fault(SECRET, TIMESTAMP, SIGNATURE, BODY, NOW) is None


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"timestamp": "12.5"}, "timestamp '12.5' is not a number of seconds"),
        ({"timestamp": ""}, "timestamp '' is not a number of seconds"),
        ({"signature": SIGNATURE.removeprefix("sha256=")}, "does not have the form sha256= and 64"),
        ({"signature": SIGNATURE.upper()}, "does not have the form sha256= and 64"),
        ({"body": BODY + b"\n"}, "line end after the body was added or removed"),
        ({"body": BODY + b"\r\n"}, "line end after the body was added or removed"),
        ({"secret": SECRET + b"\n"}, "the secret has white space around it"),
        ({"signature": f"sha256={hmac_sha256(SECRET, BODY)}"}, "signature of the body alone"),
        ({"body": b'{"id": "1"}'}, "the secret is another one, or the timestamp or the body was changed"),
        ({"secret": b"fedcba9876543210"}, "the secret is another one"),
        ({"timestamp": str(int(TIMESTAMP) + 1)}, "the secret is another one, or the timestamp"),
        ({"now": datetime(2026, 11, 29, 8, 5, 1, tzinfo=UTC)}, "signed 301 s ago, over 300 s"),
        ({"now": datetime(2026, 11, 29, 7, 54, 59, tzinfo=UTC)}, "signed 301 s ahead of this machine"),
    ],
)
def test_a_fault_is_explained(changed: dict[str, object], why: str) -> None:
    given: dict[str, object] = {"secret": SECRET, "timestamp": TIMESTAMP, "signature": SIGNATURE, "body": BODY}
    assert why in str(find_fault(**(given | {"now": NOW} | changed)))  # type: ignore[arg-type]  # of mixed types


def test_the_age_may_be_left_out() -> None:
    assert find_fault(SECRET, TIMESTAMP, SIGNATURE, BODY, None) is None


def verify(*arguments: str) -> int:
    return main(["webhook-verify", "--any-age", "--timestamp", TIMESTAMP, "--signature", SIGNATURE, *arguments])


def test_the_command_reads_a_file_and_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SIPBRIDGE_WEBHOOK_SECRET", SECRET.decode())
    body = tmp_path / "body"
    body.write_bytes(BODY)
    assert verify(str(body)) == 0
    assert capsys.readouterr().out == "valid\n"


def test_the_command_reads_standard_input_and_a_secret_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET + b"\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(BODY + b"x")))
    assert verify("--secret-file", str(secret)) == 1
    assert capsys.readouterr().err.startswith("sipbridge: not valid: the signature does not match")


def test_the_command_refuses_an_old_timestamp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SIPBRIDGE_WEBHOOK_SECRET", SECRET.decode())
    body = tmp_path / "body"
    body.write_bytes(BODY)
    old = "1000000000"
    signature = f"sha256={hmac_sha256(SECRET, old.encode() + b'.' + BODY)}"
    arguments = ["webhook-verify", str(body), "--timestamp", old, "--signature", signature]
    assert main(arguments) == 1
    assert main([*arguments, "--any-age"]) == 0


def test_the_command_needs_a_secret(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("SIPBRIDGE_WEBHOOK_SECRET", raising=False)
    assert verify("/dev/null") == 2
    assert "SIPBRIDGE_WEBHOOK_SECRET" in capsys.readouterr().err


def test_a_missing_file_is_a_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify("/nowhere/body") == 2
    assert "/nowhere/body" in capsys.readouterr().err
