from __future__ import annotations

import pytest

from sipbridge.config import is_loopback


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_a_host_of_this_machine_is_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "localhost.example.com", "10.0.0.1", "192.0.2.1", "::ffff:192.0.2.1", "::2"])
def test_any_other_host_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)
