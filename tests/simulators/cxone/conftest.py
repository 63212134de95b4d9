from __future__ import annotations

import base64
from collections.abc import AsyncIterator

import aiohttp
import pytest

from sipbridge.simulators.cxone import DEMO_TENANT, Tenant, running_simulator

SECOND_TENANT = Tenant(
    tenant_id="second-tenant",
    business_unit="4511111",
    area="eu1",
    client_id="second-client",
    client_secret="second-secret",
    access_key_id="second-key",
    access_key_secret="second-key-secret",
)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client whose base URL is a running simulator of two tenants."""
    async with (
        running_simulator([DEMO_TENANT, SECOND_TENANT]) as url,
        aiohttp.ClientSession(url, headers={"Accept": "application/json"}) as session,
    ):
        yield session


def basic(credentials: str) -> str:
    return f"Basic {base64.b64encode(credentials.encode()).decode()}"


async def token_of(http: aiohttp.ClientSession, tenant: Tenant = DEMO_TENANT) -> str:
    form = {"grant_type": "password", "username": tenant.access_key_id, "password": tenant.access_key_secret}
    headers = {"Authorization": basic(f"{tenant.client_id}:{tenant.client_secret}")}
    async with http.post("/auth/token", data=form, headers=headers) as response:
        assert response.status == 200, await response.text()
        token: str = (await response.json())["access_token"]
        return token


@pytest.fixture
async def bearer(http: aiohttp.ClientSession) -> dict[str, str]:
    """The authorization header of the demo tenant."""
    return {"Authorization": f"Bearer {await token_of(http)}"}
