from __future__ import annotations

import pytest

from sipbridge.web.server.sources import source_of


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("::1", "::"),
    ],
)
def test_an_ipv6_address_counts_as_its_network_and_an_ipv4_address_as_itself(address: str, source: str) -> None:
    assert source_of(address) == source


@pytest.mark.parametrize("address", [None, "", "localhost", "192.0.2.1:80"])
def test_text_that_is_not_an_address_has_no_source(address: str | None) -> None:
    assert source_of(address) == ""
