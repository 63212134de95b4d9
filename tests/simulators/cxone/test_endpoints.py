from __future__ import annotations

import copy
from typing import Any

import aiohttp
import jwt
import pytest

from sipbridge.simulators.cxone import DEMO_TENANT
from sipbridge.simulators.cxone.state import State

from .conftest import SECOND_TENANT, basic, token_of

SIGNAL = "/inContactAPI/services/v30.0/interactions/4711000123/signal"
FORM = {"grant_type": "password", "username": "demo-key", "password": "demo-key-secret"}
TRANSCRIPT: dict[str, Any] = {
    "vendorId": "sipbridge",
    "busId": "4599999",
    "virtualAgentId": "",
    "contactId": "9000",
    "contactState": "SELF_SERVICE",
    "mediaType": "Voice",
    "selfServiceSessionDetails": {
        "transcriptPublishSettingOption": "PUBLISH_TRANSCRIPTS_ONLY",
        "sessionCompletionType": "ESCALATED",
        "sessionCompletionDetails": "asked",
        "transcriptSummary": "",
        "transcripts": [
            {
                "participantId": "Bot",
                "messageBody": "Hello",
                "messageContentType": "TRANSCRIPT",
                "utcDateTime": "2025-01-02T03:04:05.678",
            }
        ],
    },
}


async def signals_of(http: aiohttp.ClientSession) -> list[dict[str, Any]]:
    async with http.get("/simulator/signals") as response:
        signals: list[dict[str, Any]] = (await response.json())["signals"]
        return signals


async def test_discovery_names_this_server(http: aiohttp.ClientSession) -> None:
    async with http.get("/.well-known/openid-configuration") as response:
        origin = str(response.url.origin())
        assert await response.json() == {"issuer": origin, "token_endpoint": f"{origin}/auth/token"}


async def test_the_configuration_of_a_tenant_names_this_server_and_its_area(http: aiohttp.ClientSession) -> None:
    async with http.get("/.well-known/cxone-configuration", params={"tenantId": "second-tenant"}) as response:
        found = await response.json()
        assert found["api_endpoint"] == str(response.url.origin())
        assert found["area"] == "eu1"


@pytest.mark.parametrize("query", ["", "?tenantId=", "?tenantId=stranger"])
async def test_an_unknown_tenant_has_no_configuration(http: aiohttp.ClientSession, query: str) -> None:
    async with http.get(f"/.well-known/cxone-configuration{query}") as response:
        assert response.status == 404


async def test_a_token_comes_with_an_id_token_of_its_tenant(http: aiohttp.ClientSession) -> None:
    async with http.post("/auth/token", data=FORM, headers={"Authorization": basic("demo-client:demo-secret")}) as got:
        given, origin = await got.json(), str(got.url.origin())
    assert given["token_type"] == "Bearer"
    assert given["expires_in"] == 3600
    claims = jwt.decode(given["id_token"], options={"verify_signature": False})
    assert claims["iss"] == origin
    assert (claims["tenantId"], claims["icBUId"], claims["area"]) == ("demo-tenant", "4599999", "na1")
    assert claims["exp"] - claims["iat"] == 3600


@pytest.mark.parametrize(
    ("authorization", "form", "status", "error"),
    [
        ("", FORM, 401, "invalid_client"),
        ("Basic !", FORM, 401, "invalid_client"),
        ("Bearer demo", FORM, 401, "invalid_client"),
        (basic("no-colon"), FORM, 401, "invalid_client"),
        (basic("demo-client:wrong"), FORM, 401, "invalid_client"),
        (basic("wrong:demo-secret"), FORM, 401, "invalid_client"),
        (basic("demo-client:demo-secret"), FORM | {"password": "wrong"}, 400, "invalid_grant"),
        (basic("demo-client:demo-secret"), FORM | {"username": "second-key"}, 400, "invalid_grant"),
        (basic("demo-client:demo-secret"), {"grant_type": "password"}, 400, "invalid_grant"),
        (basic("demo-client:demo-secret"), FORM | {"grant_type": "other"}, 400, "unsupported_grant_type"),
        (basic("demo-client:demo-secret"), {}, 400, "unsupported_grant_type"),
    ],
)
async def test_wrong_credentials_get_no_token(
    http: aiohttp.ClientSession, authorization: str, form: dict[str, str], status: int, error: str
) -> None:
    async with http.post("/auth/token", data=form, headers={"Authorization": authorization}) as response:
        assert response.status == status
        assert (await response.json())["error"] == error


async def test_a_signal_in_the_body_is_accepted_and_listed(http: aiohttp.ClientSession, bearer: dict[str, str]) -> None:
    async with http.post(SIGNAL, json={"p1": "Escalate", "p9": ""}, headers=bearer) as response:
        assert response.status == 202
    [signal] = await signals_of(http)
    at = signal.pop("at")
    assert at.endswith("+00:00")
    assert signal == {
        "contact_id": "4711000123",
        "parameters": {"p1": "Escalate", "p9": ""},
        "in": "body",
        "tenant": "demo-tenant",
        "version": "v30.0",
    }


async def test_a_signal_in_the_query_is_accepted_and_listed(
    http: aiohttp.ClientSession, bearer: dict[str, str]
) -> None:
    async with http.post(f"{SIGNAL}?p1=a%20b&p2=%2B%26", headers=bearer) as response:
        assert response.status == 202
    [signal] = await signals_of(http)
    assert (signal["in"], signal["parameters"]) == ("query", {"p1": "a b", "p2": "+&"})


@pytest.mark.parametrize("path", [SIGNAL.lower(), SIGNAL.upper(), SIGNAL.replace("v30.0", "v18.0")])
async def test_the_path_of_a_signal_may_have_any_case_and_version(
    http: aiohttp.ClientSession, bearer: dict[str, str], path: str
) -> None:
    async with http.post(path, headers=bearer) as response:
        assert response.status == 202


@pytest.mark.parametrize(
    "contact_id", ["100000000000", "%204711", "47%2F11", "4711%20", "contact_1", "x" * 33, "%C3%A9"]
)
async def test_an_unknown_contact_is_404(http: aiohttp.ClientSession, bearer: dict[str, str], contact_id: str) -> None:
    async with http.post(SIGNAL.replace("4711000123", contact_id), headers=bearer) as response:
        assert response.status == 404
    assert await signals_of(http) == []


@pytest.mark.parametrize("version", ["30", "v30", "latest", "v30.0.1"])
async def test_an_unknown_version_is_404(http: aiohttp.ClientSession, bearer: dict[str, str], version: str) -> None:
    async with http.post(SIGNAL.replace("v30.0", version), headers=bearer) as response:
        assert response.status == 404


@pytest.mark.parametrize(
    "body", ["[]", "null", "{", '"p1"', '{"p10": "x"}', '{"p0": "x"}', '{"P1": "x"}', '{"p1": 1}', '{"p1": null}']
)
async def test_an_invalid_signal_body_is_refused_with_a_reason(
    http: aiohttp.ClientSession, bearer: dict[str, str], body: str
) -> None:
    async with http.post(SIGNAL, data=body, headers=bearer) as response:
        assert response.status == 400
        assert (await response.json())["error_description"]
    assert await signals_of(http) == []


@pytest.mark.parametrize("query", ["p10=x", "other=x", "p1=a&p1=b"])
async def test_an_invalid_signal_query_is_refused(
    http: aiohttp.ClientSession, bearer: dict[str, str], query: str
) -> None:
    async with http.post(f"{SIGNAL}?{query}", headers=bearer) as response:
        assert response.status == 400


async def test_body_and_query_together_are_refused(http: aiohttp.ClientSession, bearer: dict[str, str]) -> None:
    async with http.post(f"{SIGNAL}?p1=a", json={"p2": "b"}, headers=bearer) as response:
        assert response.status == 400


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer stranger", "Basic abc"])
@pytest.mark.parametrize("path", [SIGNAL, "/aai/tms/transcripts/post"])
async def test_without_a_valid_token_nothing_is_accepted(
    http: aiohttp.ClientSession, authorization: str, path: str
) -> None:
    async with http.post(path, json={}, headers={"Authorization": authorization}) as response:
        assert response.status == 401


def test_a_token_is_valid_until_it_expires() -> None:
    now = 0.0
    state = State([DEMO_TENANT], token_seconds=60, clock=lambda: now)
    first = state.issue_token(DEMO_TENANT)
    now = 59.0
    assert state.tenant_of(first) is DEMO_TENANT
    second = state.issue_token(DEMO_TENANT)
    now = 60.0
    assert state.tenant_of(first) is None
    assert state.tenant_of(second) is DEMO_TENANT


async def test_a_token_is_valid_for_its_own_tenant(http: aiohttp.ClientSession) -> None:
    headers = {"Authorization": f"Bearer {await token_of(http, SECOND_TENANT)}"}
    async with http.post(SIGNAL, headers=headers) as response:
        assert response.status == 202
    assert [signal["tenant"] for signal in await signals_of(http)] == ["second-tenant"]


async def test_a_transcript_is_accepted_and_listed(http: aiohttp.ClientSession, bearer: dict[str, str]) -> None:
    async with http.post("/aai/tms/transcripts/post", json=TRANSCRIPT, headers=bearer) as response:
        assert response.status == 202
    async with http.get("/simulator/transcripts", params={"contact_id": "9000"}) as response:
        [posted] = (await response.json())["transcripts"]
    assert posted["body"] == TRANSCRIPT
    assert posted["tenant"] == "demo-tenant"
    async with http.get("/simulator/transcripts", params={"contact_id": "9001"}) as response:
        assert (await response.json())["count"] == 0


@pytest.mark.parametrize("missing", sorted(TRANSCRIPT))
async def test_a_missing_field_of_a_transcript_is_named(
    http: aiohttp.ClientSession, bearer: dict[str, str], missing: str
) -> None:
    body = {name: value for name, value in TRANSCRIPT.items() if name != missing}
    async with http.post("/aai/tms/transcripts/post", json=body, headers=bearer) as response:
        assert response.status == 400
        assert f"{missing}: is missing" in (await response.json())["error_description"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("messageBody", ""),
        ("messageBody", None),
        ("participantId", "Caller"),
        ("utcDateTime", "2025-01-02T03:04:05Z"),
        ("utcDateTime", "2025-01-02T03:04:05.678Z"),
    ],
)
async def test_an_invalid_transcript_line_is_refused(
    http: aiohttp.ClientSession, bearer: dict[str, str], field: str, value: object
) -> None:
    body = copy.deepcopy(TRANSCRIPT)
    body["selfServiceSessionDetails"]["transcripts"][0][field] = value
    async with http.post("/aai/tms/transcripts/post", json=body, headers=bearer) as response:
        assert response.status == 400
        assert f"transcripts.0.{field}" in (await response.json())["error_description"]


async def test_a_transcript_for_another_business_unit_is_refused(http: aiohttp.ClientSession) -> None:
    headers = {"Authorization": f"Bearer {await token_of(http, SECOND_TENANT)}"}
    async with http.post("/aai/tms/transcripts/post", json=TRANSCRIPT, headers=headers) as response:
        assert response.status == 403
