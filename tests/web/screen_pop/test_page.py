from __future__ import annotations

from datetime import timedelta
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from sipbridge.calls.model import CallState
from sipbridge.handoffs.record import HandoffState
from sipbridge.web import PopLinks
from tests.store.records import START, make_handoff, make_record
from tests.web.conftest import Bridge
from tests.web.fakes import POP_SECRET, make_config
from tests.web.screen_pop import samples

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
EVIL = """<script>alert(1)</script><img src=x onerror=alert(1)>"' onmouseover=alert(1) {{ 'ev' ~ 'il' }} </ol>"""


class Tags(HTMLParser):
    """All tags of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


async def fetch(bridge: Bridge, url: str, accept: str = BROWSER, **headers: str) -> tuple[int, str, str]:
    """Return the status, the media type and the text."""
    path = url.removeprefix(bridge.config.http.public_url)
    async with bridge.session.get(bridge.base + path, headers={"Accept": accept, **headers}) as response:
        return response.status, response.content_type, await response.text()


async def test_a_browser_gets_a_page_and_a_program_json(bridge: Bridge) -> None:
    record = samples.call()
    bridge.directory.add(record)
    url = bridge.pop_links.make(record)
    for accept in (BROWSER, "*/*", "", "text/html;q=0.5, application/json;q=0.4", "application/json;q=0"):
        assert (await fetch(bridge, url, accept))[:2] == (200, "text/html")
    for accept in ("application/json", "application/json, text/plain, */*", "text/html;q=0.4,application/json;q=0.5"):
        assert (await fetch(bridge, url, accept))[:2] == (200, "application/json")


async def test_a_page_shows_who_why_the_last_words_the_data_and_the_conversation_in_this_order(bridge: Bridge) -> None:
    record = samples.call()
    bridge.directory.add(record)
    _, _, page = await fetch(bridge, bridge.pop_links.make(record))
    shown = Tags(page).text.partition("</head>")[2] or Tags(page).text
    expected = [
        *("Being connected", "Johanna Weber", "+4930901820", "Refund requested", "care", samples.SUMMARY),
        *(samples.TALK[-1][1], "One moment, a colleague takes over.", "Order id", "A7-441-09"),
        *('[{"sku":"LMP-3","count":2}]', samples.TALK[0][1], "115500123456", "115500123450", "call-1"),
    ]
    body = shown[shown.index("Being connected") :]
    assert sorted(expected, key=body.index) == expected
    assert "Ticket id" not in body  # it is null


async def test_no_value_becomes_markup(bridge: Bridge) -> None:
    turns = [{"role": "caller", "text": EVIL}, {"role": "agent", "text": EVIL}]
    given = make_handoff(
        reason=EVIL,
        destination=EVIL,
        utterance=EVIL,
        shared_id=EVIL,
        data={EVIL: EVIL, "summary": EVIL, "customer_name": EVIL, "deep": [EVIL]},
    )
    record = make_record(
        handoff=given, transcript=turns, caller=EVIL, dialled=EVIL, contact_id="c<b>", main_contact_id=EVIL
    )
    plain = make_record("plain", handoff=make_handoff(data={"a": "b", "summary": "s", "customer_name": "n"}))
    bridge.directory.add(record)
    bridge.directory.add(plain)
    page = Tags((await fetch(bridge, bridge.pop_links.make(record)))[2])
    tags = {tag for tag, _ in page.tags}
    assert tags - {tag for tag, _ in Tags((await fetch(bridge, bridge.pop_links.make(plain)))[2]).tags} <= {
        "li",
        "time",
    }
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert page.text.count(EVIL) >= 10
    assert "evil" not in page.text


async def test_the_operator_chooses_title_language_labels_and_order(bridge: Bridge) -> None:
    fields = {"order_total": "Betrag", "order_id": None, "unknown": "Nie da"}
    bridge.config = make_config(pop_page={"title": "Lumen & Söhne", "language": "de", "fields": fields})
    record = samples.call()
    bridge.directory.add(record)
    _, _, page = await fetch(bridge, bridge.pop_links.make(record), **{"Accept-Language": "fr"})
    parsed = Tags(page)
    assert ("html", {"lang": "de"}) in parsed.tags
    assert "Lumen & Söhne" in parsed.text
    body = parsed.text[parsed.text.index("Angaben") :]
    expected = ["Betrag", "138.00 EUR", "Order id", "A7-441-09", "Customer id"]
    assert sorted(expected, key=body.index) == expected
    assert "Nie da" not in body


@pytest.mark.parametrize(
    ("wanted", "language"),
    [("de-AT,de;q=0.9,en;q=0.8", "de"), ("it, fr;q=0.5", "fr"), ("es;q=x", "en"), ("de;q=0", "en"), ("", "en")],
)
async def test_the_browser_chooses_the_language_unless_the_operator_does(
    bridge: Bridge, wanted: str, language: str
) -> None:
    record = samples.call()
    bridge.directory.add(record)
    _, _, page = await fetch(bridge, bridge.pop_links.make(record), **{"Accept-Language": wanted})
    assert f'<html lang="{language}">' in page


async def test_a_link_that_leads_nowhere_says_why_and_what_to_do(bridge: Bridge) -> None:
    record = make_record("erased", handoff=make_handoff())
    expired = PopLinks(bridge.config.http.public_url, POP_SECRET, seconds=-1).make(record)
    assert_problem(await fetch(bridge, expired), 403, "This link has expired", "Open the contact again at your desk")
    assert_problem(await fetch(bridge, "/pop/x.y.z"), 403, "This link is not valid", "Copy the whole link")
    erased = bridge.pop_links.make(record)
    assert_problem(await fetch(bridge, erased), 404, "This record no longer exists", "It was erased")
    await bridge.store.close()
    assert_problem(await fetch(bridge, erased), 500, "cannot be read at the moment", "Reload the page")


def assert_problem(got: tuple[int, str, str], status: int, *texts: str) -> None:
    assert got[:2] == (status, "text/html")
    assert all(text in unescape(got[2]) for text in texts)
    assert "Copy</button>" not in got[2]


@pytest.mark.parametrize(
    ("handoff", "call", "shown"),
    [
        ({}, {}, "Being connected Waiting"),
        ({"state": HandoffState.COMPLETED, "confirmed": True}, {"state": CallState.ENDED}, "Handed over Since handoff"),
        (
            {"state": HandoffState.COMPLETED, "confirmed": False},
            {"state": CallState.ENDED},
            "Handed over, not confirmed",
        ),
        (
            {"state": HandoffState.COMPLETED, "method": "invite", "finished_at": START + timedelta(seconds=37)},
            {"state": CallState.HANDING_OFF},
            "Connected Waited 0:07",
        ),
        (
            {"state": HandoffState.COMPLETED, "method": "invite", "finished_at": START + timedelta(seconds=37)},
            {"state": CallState.ENDED},
            "The call is over Waited 0:07",
        ),
        (
            {"state": HandoffState.FAILED, "confirmed": False},
            {"state": CallState.ENDED, "ended_by": "caller", "ended_at": START + timedelta(minutes=62)},
            "The caller hung up Waited 1:01:30",
        ),
        ({"state": HandoffState.FAILED, "confirmed": False}, {}, "The handoff failed Waited"),
        (
            {"state": HandoffState.FAILED, "taken_back": True, "finished_at": START + timedelta(seconds=52)},
            {"state": CallState.TALKING},
            "The caller is back with the assistant Waited 0:22",
        ),
        (
            {"state": HandoffState.FAILED, "taken_back": True, "finished_at": START + timedelta(seconds=52)},
            {"state": CallState.ENDED, "ended_by": "caller", "ended_at": START + timedelta(minutes=62)},
            "The call with the assistant is over Waited 0:22",
        ),
    ],
)
async def test_the_state_of_a_call_is_said_in_words(
    bridge: Bridge, handoff: dict[str, Any], call: dict[str, Any], shown: str
) -> None:
    record = make_record(handoff=make_handoff(**handoff), **call)
    bridge.directory.add(record)
    _, _, page = await fetch(bridge, bridge.pop_links.make(record))
    assert shown in " ".join(Tags(page).text.split())
    is_live = call.get("state") is not CallState.ENDED
    assert ("data-events" in page) is is_live


async def test_a_page_and_its_files_are_small_and_only_the_files_are_cached(bridge: Bridge) -> None:
    record = samples.call()
    bridge.directory.add(record)
    _, _, page = await fetch(bridge, bridge.pop_links.make(record))
    size = len(page.encode())
    files = [value for _, attributes in Tags(page).tags for name in ("href", "src") if (value := attributes.get(name))]
    assert len(files) == 3
    for file in files:
        async with bridge.session.get(bridge.base + file) as response:
            assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            size += len(await response.read())
    assert size < 20_000
    async with bridge.session.get(f"{bridge.base}/pop/assets/page-000000000000.css") as response:
        assert (response.status, response.headers["Cache-Control"]) == (404, "no-store")


async def test_a_page_has_a_strict_policy_and_is_not_cached(bridge: Bridge) -> None:
    async with bridge.session.get(f"{bridge.base}/pop/x") as response:
        assert response.headers["Content-Security-Policy"] == (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'self' https://*.nicecxone.com"
        )
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert "X-Frame-Options" not in response.headers
        assert "Set-Cookie" not in response.headers


async def test_a_long_conversation_is_shown_from_its_end_and_whole_on_request(bridge: Bridge) -> None:
    turns = [{"role": "caller", "text": f"turn {number}."} for number in range(150)]
    record = make_record(handoff=make_handoff(), transcript=turns)
    bridge.directory.add(record)
    url = bridge.pop_links.make(record)
    _, _, page = await fetch(bridge, url)
    assert "turn 50." in page
    assert "turn 49." not in page
    assert '<a href="?transcript=all">show all (150)</a>' in page
    assert 'data-count="150"' in page
    _, _, page = await fetch(bridge, f"{url}?transcript=all")
    assert "turn 0." in page


async def test_the_logo_is_served_under_a_name_of_its_content(bridge: Bridge, tmp_path: Path) -> None:
    content = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    (tmp_path / "logo.svg").write_bytes(content)
    bridge.config = make_config(pop_page={"logo": str(tmp_path / "logo.svg")})
    _, _, page = await fetch(bridge, "/pop/x")
    [source] = [attributes["src"] for tag, attributes in Tags(page).tags if tag == "img"]
    async with bridge.session.get(f"{bridge.base}{source}") as response:
        assert (response.content_type, await response.read()) == ("image/svg+xml", content)


async def test_links_to_files_have_the_prefix_of_the_proxy(bridge: Bridge) -> None:
    bridge.config = make_config(public_url="https://example.com/bridge/")
    _, _, page = await fetch(bridge, "/pop/x")
    assert 'href="/bridge/pop/assets/page-' in page
