"""A platform of a bring-your-own channel: the client of DFO REST, and a box that CXone calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from sipbridge.simulators.cxone.digital.byoc.channels import DEMO_CHANNEL
from sipbridge.simulators.cxone.models import DEMO_TENANT

BASE = "/dfo/3.0"
POST = f"{BASE}/channels/{DEMO_CHANNEL.id}/messages"
OK = 200


async def a_token(http: aiohttp.ClientSession) -> dict[str, str]:
    """Return the headers with a token of the demo tenant."""
    form = {
        "grant_type": "password",
        "username": DEMO_TENANT.access_key_id,
        "password": DEMO_TENANT.access_key_secret,
    }
    basic = aiohttp.encode_basic_auth(DEMO_TENANT.client_id, DEMO_TENANT.client_secret)
    async with http.post("/auth/token", data=form, headers={"Authorization": basic}) as response:
        return {"Authorization": f"Bearer {(await response.json())['access_token']}"}


def a_message(words: str = "hello", **changes: Any) -> dict[str, Any]:  # noqa: ANN401 (JSON)
    """Return the body of a message of the customer."""
    body = {
        "idOnExternalPlatform": "m-1",
        "direction": "inbound",
        "createdAtWithMilliseconds": "2026-11-28T19:00:00.000+00:00",
        "thread": {"idOnExternalPlatform": "thread-1"},
        "messageContent": {"type": "TEXT", "payload": {"text": words}},
        "authorEndUserIdentity": {"idOnExternalPlatform": "customer-1", "firstName": "Grace", "lastName": "Hopper"},
    }
    return body | changes


@dataclass
class Box:
    """A box that records the calls.

    `statuses` are the next responses to messages, instead of 200, and `token_statuses` those to requests for a token.
    """

    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    token_statuses: list[int] = field(default_factory=list)
    url: str = ""
    tokens: set[str] = field(default_factory=set)

    async def handle(self, request: web.Request) -> web.Response:
        """Respond to a call."""
        body = await request.json()
        if request.path.endswith("/1.0/token"):
            return self._token(body)
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            self.calls.append(("401", body))
            return web.Response(status=401)
        self.calls.append((request.path, body))
        if self.statuses:
            return web.Response(status=self.statuses.pop(0))
        if request.path.endswith("/outbound"):
            return web.json_response(
                {
                    "message": {
                        "idOnExternalPlatform": f"box-{len(self.calls)}",
                        "createdAtWithMilliseconds": "2026-11-28T19:00:00.000+00:00",
                        "url": "",
                    },
                    "thread": body["thread"],
                    "endUserIdentities": [],
                    "recipients": body["endUserRecipients"],
                }
            )
        if request.path.endswith("/messages"):
            return web.json_response({"idOnExternalPlatform": f"box-{len(self.calls)}"})
        return web.Response(status=204)

    def _token(self, body: dict[str, Any]) -> web.Response:
        self.calls.append(("token", body))
        if self.token_statuses:
            return web.Response(status=self.token_statuses.pop(0))
        if body["client_secret"] != DEMO_CHANNEL.client_secret:
            return web.Response(status=401)
        token = f"token-{len(self.calls)}"
        self.tokens.add(token)
        return web.json_response({"access_token": token, "token_type": "Bearer", "expires_in": 3600})


@asynccontextmanager
async def running_box(http: aiohttp.ClientSession, **settings: object) -> AsyncIterator[Box]:
    """Serve a box and enter it at the demo channel."""
    box = Box()
    app = web.Application()
    app.router.add_post("/{path:.*}", box.handle)
    async with TestServer(app) as server:
        box.url = str(server.make_url("/box"))
        async with http.patch(
            f"/simulator/byoc/channels/{DEMO_CHANNEL.id}", json={"box_url": box.url, **settings}
        ) as response:
            assert response.status == OK, await response.text()
        yield box
