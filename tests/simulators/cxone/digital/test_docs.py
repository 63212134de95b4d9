"""The examples of docs/simulator-chat.md are valid."""

from __future__ import annotations

import json
import re
from pathlib import Path

import aiohttp
import pytest
from pydantic import BaseModel

from sipbridge.simulators.cxone.digital.byoc.channels import DEMO_CHANNEL, ByocChannel
from sipbridge.simulators.cxone.digital.byoc.settings import ByocSettings
from sipbridge.simulators.cxone.digital.desk_models import NewMessage, Transfer
from sipbridge.simulators.cxone.digital.gateway.faults import GatewayFault
from sipbridge.simulators.cxone.digital.patron.settings import Hours, PatronSettings, Point
from sipbridge.simulators.cxone.models import Endpoint

PAGE = (Path(__file__).parents[4] / "docs" / "simulator-chat.md").read_text()
# Path, and body of a POST.
EXAMPLES = re.findall(r'"\$(DIGITAL|DESK)/(faults|automatic|drop|push)" -d \'([^\']+)\'', PAGE)
CHANGES = re.findall(r'-X (PATCH|PUT) "\$(DIGITAL|BYOC|PATRON)/([^"]+)" -d \'([^\']+)\'', PAGE)


@pytest.mark.parametrize(("root", "path", "body"), EXAMPLES)
async def test_an_example_is_accepted(http: aiohttp.ClientSession, root: str, path: str, body: str) -> None:
    async with http.post(f"/simulator/{root.lower()}/{path}", data=body) as response:
        assert response.status in (200, 201), await response.text()


@pytest.mark.parametrize(("method", "root", "path", "body"), CHANGES)
async def test_a_change_of_a_setting_is_accepted(
    http: aiohttp.ClientSession, method: str, root: str, path: str, body: str
) -> None:
    path = path.replace("$CHANNEL", DEMO_CHANNEL.id)
    async with http.request(method, f"/simulator/{root.lower()}/{path}", data=body) as response:
        assert response.status == 200, await response.text()
        changed = await response.json()
    assert changed | json.loads(body) == changed


def test_the_examples_of_actions_are_valid() -> None:
    bodies = dict(re.findall(r'/(messages|transfer)" -d \'([^\']+)\'', PAGE))
    NewMessage.model_validate_json(bodies["messages"])
    Transfer.model_validate_json(bodies["transfer"])


@pytest.mark.parametrize("model", [ByocChannel, ByocSettings, Hours, PatronSettings, Point])
def test_every_setting_is_documented(model: type[BaseModel]) -> None:
    assert set(model.model_fields) - {"id", "profile_id"} <= set(re.findall(r"`(\w+)`", PAGE))


def test_every_endpoint_of_a_fault_is_documented() -> None:
    pages = PAGE + (Path(__file__).parents[4] / "docs" / "simulator.md").read_text()
    assert set(Endpoint) <= set(re.findall(r"`(\w+)`", pages))


def test_every_key_of_a_fault_is_documented() -> None:
    table = PAGE.partition("| `on` |")[2]
    named = set(re.findall(r"`(\w+)`", table)) | {"on"}
    assert set(GatewayFault.model_fields) <= named
