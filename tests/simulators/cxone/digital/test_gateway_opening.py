"""Opening a socket, authorization, and tokens."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from sipbridge.simulators.cxone.digital.desk import Desk
from sipbridge.simulators.cxone.digital.gateway.channels import LIVECHAT, MESSAGING, SECURED
from sipbridge.simulators.cxone.digital.gateway.tokens import Tokens
from sipbridge.simulators.cxone.digital.messages import Customer

from .chat_client import ChatClient, connected, new_id, query

AUTHORIZED = "chat_44444444-4444-4444-8444-444444444444"


def test_a_token_is_valid_for_its_use_and_its_channel() -> None:
    tokens = Tokens()
    token = tokens.issue("access", MESSAGING.id, Customer("customer-1"), 60)
    assert tokens.check(token, "access", MESSAGING.id) is not None
    assert tokens.check(token, "transaction", MESSAGING.id) is None
    assert tokens.check(token, "access", LIVECHAT.id) is None
    assert tokens.check(tokens.issue("access", MESSAGING.id, Customer("customer-1"), 0), "access", MESSAGING.id) is None


async def put_channel(http: aiohttp.ClientSession, channel: str, **settings: object) -> None:
    async with http.put(f"/simulator/digital/channels/{channel}", json=settings) as response:
        assert response.status == 200, await response.text()


async def secured_token(http: aiohttp.ClientSession, body: dict[str, Any], channel: str = SECURED.id) -> Any:  # noqa: ANN401 (JSON)
    async with http.post("/oauth/token", params=query(channel, customer=""), json=body) as response:
        return await response.json() | {"status": response.status}


@pytest.mark.parametrize("name", ["brandId", "channelId", "visitorId", "sdkPlatform", "sdkVersion", "customerId"])
async def test_the_query_of_a_socket_is_complete(http: aiohttp.ClientSession, name: str) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect("/", params=query(**{name: ""}))
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"brandId": "4321"}, 400),
        ({"brandId": "brand"}, 400),
        ({"channelId": "chat_unknown"}, 400),
        ({"transactionToken": "token"}, 400),
        ({"channelId": SECURED.id}, 403),
        ({"channelId": SECURED.id, "customerId": "", "transactionToken": "wrong"}, 403),
    ],
)
async def test_a_wrong_query_opens_no_socket(
    http: aiohttp.ClientSession, announced: list[str], wrong: dict[str, str], status: int
) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect("/", params=query(**wrong))
    assert refused.value.status == status
    assert announced[-1].startswith(f"chat socket refused with {status}: ")


async def test_a_request_without_an_upgrade_is_refused(http: aiohttp.ClientSession) -> None:
    async with http.get("/", params=query()) as response:
        assert response.status == 426


async def test_authorization_returns_the_identity(http: aiohttp.ClientSession) -> None:
    async with connected(http, authorize=False) as client:
        reply = await client.authorize()
        assert reply["authorizationStatus"] == "authorized"
        assert reply["postback"]["data"] == {
            "consumerIdentity": {"idOnExternalPlatform": "customer-1", "firstName": "Grace", "lastName": "Hopper"},
            "status": "success",
        }
        reply = await client.authorize(disableChannelInfo=False)
        assert reply["postback"]["data"]["channel"]["isLiveChat"] is False


async def test_an_event_before_the_authorization_is_lost(http: aiohttp.ClientSession, desk: Desk) -> None:
    async with connected(http, authorize=False) as client:
        await client.send("SendMessage", client.message(new_id()))
        assert await client.types() == []
        async with http.get("/simulator/digital/counts") as response:
            assert (await response.json())["SendMessage"] == {"lost": 1}
        await client.authorize()
        assert await client.types() == []
    assert desk.conversations() == []


@pytest.mark.parametrize("who", ["Consumer", "Customer"])
async def test_a_known_customer_reconnects(http: aiohttp.ClientSession, who: str) -> None:
    async with connected(http, authorize=False) as client:
        reply = await client.request(f"Reconnect{who}", {})
        assert reply["error"]["errorCode"] == f"{who}ReconnectionFailed"
        await client.authorize()
    async with connected(http, authorize=False) as client:
        assert (await client.request(f"Reconnect{who}", {}))["postback"]["eventType"] == f"{who}Reconnected"
        assert "error" not in await client.say(new_id())


async def test_an_authorization_code_gives_an_access_token(http: aiohttp.ClientSession) -> None:
    await put_channel(http, AUTHORIZED, authorization=True)
    async with connected(http, AUTHORIZED, authorize=False) as client:
        for code in (None, "invalid"):
            reply = await client.authorize(authorization={"authorizationCode": code})
            assert reply["error"]["errorCode"] == "ConsumerAuthorizationFailed"
        reply = await client.authorize(authorization={"authorizationCode": "code", "codeVerifier": "verifier"})
        token = reply["postback"]["data"]["accessToken"]
        assert token["expiresIn"] == 3600
        reply = await client.request("RefreshToken", {"accessToken": {"token": token["token"]}})
        assert reply["postback"]["eventType"] == "TokenRefreshed"
        given = {"token": reply["postback"]["data"]["accessToken"]["token"]}
        assert (await client.say(new_id()))["error"]["errorCode"] == "SendingMessageFailed"
        assert "error" not in await client.say(new_id(), accessToken=given)
    async with connected(http, AUTHORIZED, authorize=False) as client:
        assert (await client.request("ReconnectConsumer", {}))["error"]["errorCode"] == "ConsumerReconnectionFailed"
        assert "error" not in await client.request("ReconnectConsumer", {"accessToken": given})


async def test_expired_access_tokens_are_refused(http: aiohttp.ClientSession) -> None:
    await put_channel(http, AUTHORIZED, authorization=True)
    async with connected(http, AUTHORIZED, authorize=False) as client:
        reply = await client.authorize(authorization={"authorizationCode": "code"})
        given = {"token": reply["postback"]["data"]["accessToken"]["token"]}
        async with http.post("/simulator/digital/expire_tokens") as response:
            assert await response.json() == {"expired": 1}
        assert (await client.say(new_id(), accessToken=given))["error"]["errorCode"] == "SendingMessageFailed"
        assert (await client.request("RefreshToken", {"accessToken": given}))["error"][
            "errorCode"
        ] == "TokenRefreshingFailed"


async def test_an_anonymous_secured_session_needs_no_authorization(http: aiohttp.ClientSession, desk: Desk) -> None:
    given = await secured_token(http, {"customerIdentity": {"idOnExternalPlatform": "customer-1", "firstName": "Ann"}})
    assert (given["status"], given["expiresIn"]) == (200, 3600)
    assert given["customerIdentity"] == {"idOnExternalPlatform": "customer-1", "firstName": "Ann", "lastName": ""}
    assert "contact" not in given
    more = {"customerId": "", "transactionToken": given["accessToken"]}
    async with connected(http, SECURED.id, authorize=False, **more) as client:
        thread = new_id()
        assert "error" not in await client.say(thread)
        assert (await client.authorize())["error"]["errorCode"] == "ConsumerAuthorizationFailed"
    given = await secured_token(http, {"customerIdentity": {"idOnExternalPlatform": "customer-1"}})
    assert given["contact"]["id"] == desk.conversations()[0].id
    assert given["contact"]["threadIdOnExternalPlatform"] == thread


async def test_the_identity_of_a_secured_session_is_that_of_its_token(http: aiohttp.ClientSession) -> None:
    given = await secured_token(http, {"customerIdentity": {"idOnExternalPlatform": "customer-1"}})
    more = {"transactionToken": given["accessToken"]}
    async with connected(http, SECURED.id, "customer-2", authorize=False, **more) as client:
        assert (await client.say(new_id()))["error"]["errorCode"] == "InconsistentData"


async def test_an_expired_transaction_token_opens_no_socket(http: aiohttp.ClientSession) -> None:
    given = await secured_token(http, {"customerIdentity": {"idOnExternalPlatform": "customer-1"}})
    async with http.post("/simulator/digital/expire_tokens"):
        pass
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect("/", params=query(SECURED.id, "", transactionToken=given["accessToken"]))
    assert refused.value.status == 403


async def test_a_third_partys_login_gives_and_refreshes_tokens(http: aiohttp.ClientSession) -> None:
    await put_channel(http, AUTHORIZED, authorization=True, secured_sessions=True)
    grant = {"grant_type": "authorization_code", "authorization_code": "code", "code_verifier": "verifier"}
    given = await secured_token(http, {"thirdParty": grant}, AUTHORIZED)
    customer = given["customerIdentity"]["idOnExternalPlatform"]
    grant = {"grant_type": "refresh_token", "refresh_token": given["thirdParty"]["refresh_token"]}
    given = await secured_token(http, {"thirdParty": grant}, AUTHORIZED)
    assert given["customerIdentity"]["idOnExternalPlatform"] == customer
    more = {"customerId": "", "transactionToken": given["accessToken"]}
    async with http.ws_connect("/", params=query(AUTHORIZED, customer, **more)) as socket:
        assert "error" not in await ChatClient(socket, AUTHORIZED, customer).say(new_id())


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ([], 400),
        ({"customerIdentity": {}}, 400),
        ({"customerIdentity": {"idOnExternalPlatform": 1}}, 400),
        ({"thirdParty": {"grant_type": "authorization_code", "authorization_code": "code"}}, 400),
    ],
)
async def test_a_wrong_body_gives_no_anonymous_token(http: aiohttp.ClientSession, body: Any, status: int) -> None:  # noqa: ANN401 (JSON)
    given = await secured_token(http, body)
    assert given["status"] == status
    assert given["error"]["errorCode"] == "InconsistentData"
    assert given["error"]["errorMessage"]


@pytest.mark.parametrize(
    ("grant", "status"),
    [
        ({}, 400),
        ({"grant_type": "password"}, 400),
        ({"grant_type": "authorization_code"}, 400),
        ({"grant_type": "authorization_code", "authorization_code": "invalid"}, 401),
        ({"grant_type": "refresh_token", "refresh_token": "unknown"}, 401),
    ],
)
async def test_a_wrong_grant_gives_no_token(http: aiohttp.ClientSession, grant: Any, status: int) -> None:  # noqa: ANN401 (JSON)
    await put_channel(http, AUTHORIZED, authorization=True, secured_sessions=True)
    assert (await secured_token(http, {"thirdParty": grant}, AUTHORIZED))["status"] == status


@pytest.mark.parametrize("channel", [MESSAGING.id, LIVECHAT.id])
async def test_a_channel_without_secured_sessions_gives_no_token(http: aiohttp.ClientSession, channel: str) -> None:
    given = await secured_token(http, {"customerIdentity": {"idOnExternalPlatform": "customer-1"}}, channel)
    assert given["status"] == 400


@pytest.mark.parametrize("name", ["brandId", "channelId", "visitorId"])
async def test_a_token_needs_a_complete_query(http: aiohttp.ClientSession, name: str) -> None:
    async with http.post("/oauth/token", params=query(SECURED.id, **{name: ""}), json={}) as response:
        assert response.status == 400
        assert name in (await response.json())["error"]["errorMessage"]
