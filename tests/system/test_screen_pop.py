"""The page of a screen-pop in a browser, opened by the link that CXone got, while its call goes on."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.programs.bridge import Bridge, bridge
from tests.harness.programs.simulator import Simulator
from tests.harness.settings import bridge_settings, client_settings, key, project_settings, token
from tests.harness.sip.raw_call import RawCall
from tests.harness.web.browser import opened_page
from tests.harness.web.metrics import Metrics

from .site import Contact

NUMBER = "+19995550061"
STATE = "document.getElementById('state').textContent"
LAST = "document.querySelector('#log > :last-child .text')?.textContent"


@pytest.fixture
def popping(tmp_path: Path, cxone: Simulator) -> Iterator[Bridge]:
    """A bridge whose only project hands off at once, and waits long for CXone's BYE."""
    project = project_settings("popping")
    project["handoff"] |= {"release_grace_seconds": 60, "signal": {"p3": "{reason}", "p9": "{pop_url}"}}
    settings = bridge_settings(tmp_path, {"pop": client_settings(NUMBER, cxone.url, {"popping": project})})
    with bridge(settings, tmp_path) as running:
        yield running


async def test_the_link_of_a_signal_opens_a_page_that_follows_the_call(
    popping: Bridge, cxone: Simulator, tmp_path: Path
) -> None:
    contact, project = Contact.new(), popping.project("pop", "popping", key("popping"))
    headers = {"X-Auth-Token": token("popping"), "X-InContact-ContactId": contact.id}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    caller = f"From: <sip:+4930901820@127.0.0.1>;tag=caller\r\n{lines}"
    with RawCall(popping.sip, NUMBER.encode(), caller.encode()) as call:
        await to_thread(call.place)
        (signal,) = await to_thread(lambda: cxone.signals(contact.id, wait_for=1))
        url = popping.http + signal["parameters"]["p9"].partition("8080")[2]
        async with opened_page(url, tmp_path / "browser") as page:
            await page.until(f"{STATE} === 'Being connected' && document.getElementById('live').textContent === 'Live'")
            assert await page.run("document.querySelector('h1').textContent") == "+4930901820"
            (shown,) = project.request("calls").json()["calls"]
            turn = {"role": "caller", "text": "One more thing."}
            assert project.request(f"calls/{shown['id']}/turns", "POST", body=turn).status == 202
            await page.until(f"{LAST} === 'One more thing.'")
            await to_thread(call.end)
            await page.until(f"{STATE} === 'Handed over' && !document.getElementById('live')")
            assert page.faults == []
    record = await to_thread(project.ended_call, contact.id)
    assert record["handoff"]["state"] == "handoff_completed"
    assert [each["text"] for each in record["transcript"]] == ["One more thing."]
    counted = popping.metrics()
    for operation in ("get_pop", "stream_pop_events"):
        assert requests(counted, operation) == 1


def requests(metrics: Metrics, operation: str) -> float:
    return metrics.value("sipbridge_http_requests_total", operation=operation, code="200")
