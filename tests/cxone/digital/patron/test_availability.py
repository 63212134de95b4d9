"""If human agents are available for patron chats."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sipbridge.cxone.digital.patron.hours import is_open
from sipbridge.simulators.cxone.digital.patron.settings import DAYS, Hours
from tests.cxone.digital.runs import KEY, Site, run

MONDAY = datetime(2026, 11, 30, tzinfo=UTC)


async def availability(cxone: Site, **channel: object) -> dict[str, Any]:
    """Return the availability of a channel with these settings."""
    cxone.channel.update(channel)
    async with run(cxone) as bridge:
        status, body = await bridge.bridge.get("/v1/acme/support/chat/availability", KEY)
    assert status == 200
    found: dict[str, Any] = body
    return found


async def test_by_the_skill(cxone: Site) -> None:
    found = await availability(cxone, skill="1001")
    assert (found["status"], found["agents_available"], found["queue_count"]) == ("online", 2, 0)


async def test_all_agents_of_the_skill_are_busy(cxone: Site) -> None:
    cxone.patron.settings = cxone.patron.settings.model_copy(update={"agents_available": 0})
    found = await availability(cxone, skill="1001")
    assert (found["status"], found["agents_available"]) == ("online", 0)


async def test_no_agent_of_the_skill_is_logged_in(cxone: Site) -> None:
    update = {"agents_available": 0, "agents_logged_in": 0}
    cxone.patron.settings = cxone.patron.settings.model_copy(update=update)
    found = await availability(cxone, skill="1001")
    assert (found["status"], found["reason"]) == ("offline", "no human agent is logged in")


@pytest.mark.parametrize(("available", "status"), [(1, "online"), (0, "offline")])
async def test_by_the_states(cxone: Site, available: int, status: str) -> None:
    cxone.patron.settings = cxone.patron.settings.model_copy(update={"agents_available": available})
    found = await availability(cxone)
    assert (found["status"], found["agents_available"]) == (status, available)


async def test_by_the_hours(cxone: Site) -> None:
    assert (await availability(cxone, hours="7"))["status"] == "online"
    cxone.patron.hours["7"] = Hours(profile_id="7", closed_days=DAYS)
    found = await availability(cxone, hours="7")
    assert (found["status"], found["reason"]) == ("offline", "outside the hours of operation")


async def test_the_hours_are_in_the_time_zone_of_the_business_unit(cxone: Site) -> None:
    now = datetime.now(UTC)
    opens, closes = now - timedelta(minutes=30), now + timedelta(minutes=30)
    cxone.patron.hours["7"] = Hours(profile_id="7", opens=f"{opens:%H:%M:%S}", closes=f"{closes:%H:%M:%S}")
    assert (await availability(cxone, hours="7"))["status"] == "online"
    assert (await availability(cxone, hours="7", time_zone="Asia/Tokyo"))["status"] == "offline"


@pytest.mark.parametrize(
    ("endpoint", "channel"),
    [
        ("patron_skill", {"skill": "1001"}),
        ("patron_states", {}),
        ("patron_hours", {"hours": "7"}),
        ("patron_token", {}),
    ],
)
async def test_a_failed_check_is_unknown_with_its_reason(
    cxone: Site, endpoint: str, channel: dict[str, object]
) -> None:
    cxone.fail(endpoint, status=500, times=None)
    found = await availability(cxone, **channel)
    assert found["status"] == "unknown"
    assert "500" in found["reason"]


@pytest.mark.parametrize("channel", [{"skill": "9"}, {"hours": "9"}])
async def test_an_id_that_cxone_does_not_know_is_unknown(cxone: Site, channel: dict[str, object]) -> None:
    assert (await availability(cxone, **channel))["status"] == "unknown"


def profile(**monday: object) -> dict[str, Any]:
    day = {"day": "Monday", "openTime": "08:00:00", "closeTime": "12:00:00", "isClosedAllDay": "False"}
    return {"days": [day | monday]}


MIDNIGHT = {"additionalOpenTime": "00:00:00", "additionalCloseTime": "00:00:00"}


@pytest.mark.parametrize(
    ("hour", "monday", "expected"),
    [
        (8, {}, True),
        (12, {}, False),
        (7, {}, False),
        (9, {"isClosedAllDay": "True"}, False),
        (9, {"isClosedAllDay": True}, False),
        (14, {"additionalOpenTime": "13:00:00", "additionalCloseTime": "17:00:00"}, True),
        (14, {"additionalOpenTime": "", "additionalCloseTime": ""}, False),
        (14, MIDNIGHT | {"hasAdditionalHours": "False"}, False),
        (14, MIDNIGHT | {"hasAdditionalHours": "True"}, True),
        (23, {"openTime": "22:00:00", "closeTime": "06:00:00"}, True),
        (12, {"openTime": "22:00:00", "closeTime": "06:00:00"}, False),
        (12, {"openTime": "00:00:00", "closeTime": "00:00:00"}, True),
        (3, {"openTime": None, "closeTime": "x"}, True),
        (3, {"day": "Tuesday"}, True),
    ],
)
def test_the_hours_of_a_day(hour: int, monday: dict[str, object], expected: bool) -> None:  # noqa: FBT001 (a parameter of a test)
    assert is_open(profile(**monday), MONDAY + timedelta(hours=hour)) is expected
