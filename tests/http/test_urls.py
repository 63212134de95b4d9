from __future__ import annotations

import pytest

from sipbridge.http import target_of


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("https://API.example:443/x", "api.example"),
        ("http://api.example", "api.example"),
        ("http://api.example:443", "api.example:443"),
        ("http://[::1]:9100", "[::1]:9100"),
    ],
)
def test_the_host_header_has_the_port_if_it_is_not_the_default(url: str, authority: str) -> None:
    assert target_of(url).authority == authority
