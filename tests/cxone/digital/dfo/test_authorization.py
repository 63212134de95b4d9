"""The authorization of a customer, and the tokens of a connection."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs

import pytest

from sipbridge.chats import happenings as h
from sipbridge.cxone.digital.dfo.rest import ChannelInfo
from tests.cxone.digital.dfo.scripted_gateway import Gateway, running

pytestmark = pytest.mark.usefixtures("quick")


async def test_customer_is_authorized_before_anything_is_sent() -> None:
    async with running() as run:
        assert await run.send("Hello", opens=True) == ("delivered", "")
        assert run.gateway.types == ["AuthorizeCustomer", "SendMessage"]
        (query,) = run.gateway.queries
        assert set(parse_qs(query)) == {
            *("brandId", "channelId", "visitorId", "sdkPlatform", "sdkVersion", "v", "customerId")
        }


async def test_authorization_is_tried_three_times() -> None:
    gateway = Gateway()
    gateway.script["AuthorizeCustomer"].extend(["error ConsumerAuthorizationFailed"] * 5)
    async with running(gateway) as run:
        await asyncio.wait_for(run.running, 5)
        assert run.of(h.ChannelFailed) == [h.ChannelFailed("not_authorized")]
        assert gateway.types == ["AuthorizeCustomer"] * 3


@pytest.mark.parametrize("code", ["ConsumerAuthorizationFailed", "InconsistentData"])
async def test_refusal_is_not_final_while_it_is_not_known_if_the_channel_has_secured_sessions(code: str) -> None:
    gateway = Gateway(info_found=None)
    gateway.script["AuthorizeCustomer"].extend([f"error {code}"] * 10)
    async with running(gateway) as run:
        await run.until(lambda: gateway.types.count("AuthorizeCustomer") >= 5)
        assert run.of(h.ChannelFailed) == []
        assert run.of(h.ChannelUnreachable)
        gateway.info_found = ChannelInfo(livechat=False, secured=True)
        assert await run.send("hi", opens=True) == ("delivered", "")
        assert "transactionToken=token-1" in gateway.queries[-1]


@pytest.mark.parametrize("code", ["InconsistentData", "SdkVersionNotSupported"])
async def test_authorization_that_cannot_succeed_is_not_repeated(code: str) -> None:
    gateway = Gateway()
    gateway.script["AuthorizeCustomer"].append(f"error {code}")
    async with running(gateway) as run:
        await asyncio.wait_for(run.running, 5)
        assert run.of(h.ChannelFailed) == [h.ChannelFailed("refused")]


async def test_refused_reconnection_authorizes_again() -> None:
    gateway = Gateway()
    gateway.script["ReconnectConsumer"].append("error ConsumerReconnectionFailed")
    async with running(gateway, resumed=True) as run:
        await run.connected(2)
        assert gateway.types == ["ReconnectConsumer", "AuthorizeCustomer", "RecoverThread"]


async def test_access_token_is_refreshed_and_goes_with_messages() -> None:
    gateway = Gateway()
    gateway.script["AuthorizeCustomer"].append({"accessToken": {"token": "one", "expiresIn": 0.05}})
    gateway.script["RefreshToken"].append({"accessToken": {"token": "two", "expiresIn": 3600}})
    async with running(gateway) as run:
        await run.until(lambda: "RefreshToken" in gateway.types)
        await asyncio.sleep(0)
        await run.send("Hello")
        refresh, sent = (frame["payload"]["data"] for frame in gateway.frames[1:])
        assert refresh == {"accessToken": {"token": "one"}}
        assert sent["accessToken"] == {"token": "two"}


async def test_access_token_that_is_not_refreshed_authorizes_on_another_connection() -> None:
    gateway = Gateway()
    gateway.script["AuthorizeCustomer"].append({"accessToken": {"token": "one", "expiresIn": 0.05}})
    gateway.script["RefreshToken"].append("error TokenRefreshingFailed")
    async with running(gateway) as run:
        await run.connected(2)
        assert gateway.types == ["AuthorizeCustomer", "RefreshToken", "AuthorizeCustomer"]
        assert run.faults == ["token_not_refreshed"]


async def test_secured_session_has_its_token_in_the_query_and_no_register_frame() -> None:
    async with running(Gateway(ChannelInfo(livechat=False, secured=True))) as run:
        await run.send("Hello", opens=True)
        run.gateway.drop()
        await run.connected(2)
        assert run.gateway.types == ["SendMessage", "RecoverThread"]
        tokens = [parse_qs(query)["transactionToken"] for query in run.gateway.queries]
        assert tokens == [["token-1"], ["token-2"]]
        assert all("customerId" not in query for query in run.gateway.queries)


async def test_token_of_a_secured_session_is_requested_three_times() -> None:
    gateway = Gateway(ChannelInfo(livechat=False, secured=True))
    async with running(gateway) as run:
        await run.connected()
        for refusals in (2, 3):  # one after the other
            gateway.token_refusals = refusals
            gateway.drop()
            if refusals == 2:
                await run.connected(2)
        await asyncio.wait_for(run.running, 5)
        assert run.of(h.ChannelFailed) == [h.ChannelFailed("not_authorized")]
        assert gateway.tokens == 2


async def test_token_of_a_secured_session_is_renewed_by_another_connection_before_it_expires() -> None:
    gateway = Gateway(ChannelInfo(livechat=False, secured=True), token_seconds=0.05)
    async with running(gateway) as run:
        await run.connected(2)
        assert parse_qs(gateway.queries[1])["transactionToken"] == ["token-2"]
