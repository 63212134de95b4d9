from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sipbridge.dns import Resolver
from sipbridge.doctor.certificates import check_certificates, covers
from sipbridge.doctor.finding import Finding, Level
from tests.harness.certificates import Authority, Pair
from tests.harness.ports import free_port

from .conftest import MakeConfig

Certificate = Callable[..., Pair]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def found(make_config: MakeConfig, resolver: Resolver, pair: Pair, *more: tuple[str, str]) -> Finding:
    """The finding of a bridge with this certificate; `more` changes the file further."""
    files = f"certificate_file: {pair.certificate}, private_key_file: {pair.key}"
    changes = ("  max_calls: 100", f"  max_calls: 100\n  tls: {{{files}}}")
    (finding,) = [each async for each in check_certificates(make_config(changes, *more), resolver)]
    return finding


def with_authority(authority: Authority) -> tuple[str, str]:
    return "private_key_file:", f"ca_file: {authority.file}, private_key_file:"


async def test_a_certificate_with_a_complete_chain_is_fine(
    make_config: MakeConfig, resolver: Resolver, authority: Authority
) -> None:
    finding = await found(make_config, resolver, authority.issue("b", "bridge.test"), with_authority(authority))
    assert finding.level is Level.OK, finding
    assert finding.text.startswith("for bridge.test, valid for ")


@pytest.mark.parametrize(
    ("public", "level", "text"),
    [
        ("other.test", Level.WARNING, "is for bridge.test, 10.0.0.1, not for sip.public_address, other.test"),
        ("bridge.test", Level.OK, "for bridge.test, 10.0.0.1, valid for "),
        # The trunk may know the bridge by the name.
        ("198.51.100.7", Level.OK, "for bridge.test, 10.0.0.1, valid for "),
    ],
)
async def test_the_certificate_is_for_the_name_of_the_bridge(
    make_config: MakeConfig, resolver: Resolver, authority: Authority, public: str, level: Level, text: str
) -> None:
    pair = authority.issue("b", "bridge.test", "10.0.0.1")
    address = ("# public_address: 198.51.100.7", f"public_address: {public}")
    finding = await found(make_config, resolver, pair, with_authority(authority), address)
    assert finding.level is level
    assert text in finding.text


async def test_a_certificate_of_an_unknown_authority_is_a_warning(
    make_config: MakeConfig, resolver: Resolver, authority: Authority
) -> None:
    finding = await found(make_config, resolver, authority.issue("b", "bridge.test"))
    assert finding.level is Level.WARNING
    assert "is not trusted here: unable to get local issuer certificate; add the intermediates" in finding.text


@pytest.mark.parametrize(
    ("pattern", "name", "is_covered"),
    [
        ("bridge.test", "BRIDGE.test", True),
        ("*.test", "bridge.test", True),
        ("*.test", "a.bridge.test", False),
        ("*.test", "test", False),
        ("10.0.0.1", "10.0.0.1", True),
        ("bridge.test", "other.test", False),
    ],
)
def test_a_star_covers_one_label(pattern: str, name: str, *, is_covered: bool) -> None:
    assert covers(pattern, name) is is_covered


@pytest.fixture(params=[60])
async def proxy(
    request: pytest.FixtureRequest, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[int]:
    """An HTTPS server for `bridge.test`, whose authority the system trusts, with a certificate for so many days."""
    pair = authority.issue("proxy", "bridge.test", expires=datetime.now(UTC) + timedelta(days=request.param))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)

    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    ("name", "level", "text"),
    [
        ("bridge.test", Level.OK, "its certificate is valid for"),
        ("other.test", Level.FAULT, "its certificate is not trusted: Hostname mismatch"),
        ("unknown.test", Level.FAULT, "has no address in DNS"),
    ],
)
async def test_the_proxy_in_front_of_the_api_is_checked(
    make_config: MakeConfig, proxy: int, name: str, level: Level, text: str
) -> None:
    finding = await of_proxy(make_config, f"https://{name}:{proxy}")
    assert finding.level is level
    assert text in finding.text


@pytest.mark.parametrize("proxy", [9], indirect=True)
async def test_the_certificate_of_the_proxy_is_to_be_renewed_in_time(make_config: MakeConfig, proxy: int) -> None:
    finding = await of_proxy(make_config, f"https://bridge.test:{proxy}")
    assert finding.level is Level.WARNING
    assert "the certificate expires on " in finding.text


async def test_a_proxy_that_only_desktops_may_reach_is_not_a_fault(make_config: MakeConfig) -> None:
    finding = await of_proxy(make_config, f"https://bridge.test:{free_port()}")
    assert finding.level is Level.WARNING
    assert "is not reached from here: connection refused; check the proxy" in finding.text


async def of_proxy(make_config: MakeConfig, url: str) -> Finding:
    """The finding of a bridge with this public URL; DNS has every name but `unknown.test`."""

    def system(host: str) -> tuple[str, ...]:
        if host == "unknown.test":
            raise OSError
        return ("127.0.0.1",)

    resolver = Resolver(lambda: 0.0, system=system)
    config = make_config(('public_url: "http://127.0.0.1:8080"', f'public_url: "{url}"'))
    (finding,) = [each async for each in check_certificates(config, resolver)]
    await resolver.close()
    assert finding.subject == url
    return finding
