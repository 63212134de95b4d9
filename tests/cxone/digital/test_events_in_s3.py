"""Large events, which the gateway names by URL: a URL of our own network is not asked for the gateway."""

from __future__ import annotations

import pytest

from sipbridge.config import DfoChannelConfig
from sipbridge.cxone.digital.dfo.rest import GatewayRest
from sipbridge.errors import HttpError, HttpForbidden
from sipbridge.http import HttpClient, Response

PUBLIC_URL = "https://bucket.s3.amazonaws.com/e?sig=1"


class FakeHttp(HttpClient):
    """Records the URLs that it gets."""

    def __init__(self) -> None:
        self.urls: list[str] = []

    async def request(self, _method: str, url: str, **_: object) -> Response:  # type: ignore[override]
        self.urls.append(url)
        return Response(200, {}, b'{"eventType": "CaseCreated"}')


@pytest.fixture
def rest() -> tuple[GatewayRest, FakeHttp, FakeHttp]:
    config = DfoChannelConfig.model_validate(
        {"type": "dfo", "brand_id": 1, "channel_id": "chat_1", "environment": "NA1", "rest_url": "http://10.0.0.5:81/r"}
    )
    usual, guarded = FakeHttp(), FakeHttp()
    return GatewayRest(config, usual, guarded), usual, guarded


async def test_url_elsewhere_is_fetched_by_the_client_for_public_addresses(
    rest: tuple[GatewayRest, FakeHttp, FakeHttp],
) -> None:
    gateway, usual, guarded = rest
    assert await gateway.event(PUBLIC_URL) == {"eventType": "CaseCreated"}
    assert (usual.urls, guarded.urls) == ([], [PUBLIC_URL])


async def test_url_on_the_configured_host_is_fetched_wherever_that_is(
    rest: tuple[GatewayRest, FakeHttp, FakeHttp],
) -> None:
    gateway, usual, guarded = rest
    await gateway.event("http://10.0.0.5:81/events/1")
    assert (usual.urls, guarded.urls) == (["http://10.0.0.5:81/events/1"], [])


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest", "http://example.com/", "file:///etc/passwd", "x", ""])
async def test_url_that_is_not_https_is_not_fetched(rest: tuple[GatewayRest, FakeHttp, FakeHttp], url: str) -> None:
    gateway, usual, guarded = rest
    with pytest.raises(HttpForbidden):
        await gateway.event(url)
    assert not usual.urls + guarded.urls


async def test_id_of_a_message_is_quoted_in_its_path(rest: tuple[GatewayRest, FakeHttp, FakeHttp]) -> None:
    assert rest[0].message_path("../../a b?c#\r\n") == "/chat/1.0/brand/1/messages/..%2F..%2Fa%20b%3Fc%23%0D%0A"


async def test_token_that_no_header_can_carry_is_an_error(rest: tuple[GatewayRest, FakeHttp, FakeHttp]) -> None:
    with pytest.raises(HttpError):
        await rest[0].message("/x", "a\r\nb: c")
