from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from sipbridge.calls.model import CallRecord, CallState
from sipbridge.handoffs.record import HandoffRecord, HandoffState, Turn

from .conftest import MakeCentre
from .support import Simulator, ignore_note

STARTED_AT = datetime(2025, 1, 2, 3, 4, 5, 678_900, tzinfo=UTC)
TURNS = (
    Turn(role="agent", text="Hello, how can I help?", at=STARTED_AT + timedelta(seconds=1)),
    Turn(role="caller", text="A human, please."),
    Turn(role="agent", text="  "),
    Turn(role="agent", text="Of course.", at=STARTED_AT.astimezone(timezone(timedelta(hours=2)))),
)


def record(*turns: Turn, main_contact_id: str = " 9000 ", handoff_reason: str | None = None) -> CallRecord:
    handoff = handoff_reason and HandoffRecord(
        state=HandoffState.INITIATED,
        shared_id="1",
        destination="care",
        method="release",
        reason=handoff_reason,
        requested_by="agent",
        handoff_at=STARTED_AT,
    )
    return CallRecord(
        call_id="c1",
        sip_call_id="s1",
        client="acme",
        project="billing",
        contact_id="4711",
        main_contact_id=main_contact_id,
        caller="+15550100",
        dialled="+19995550001",
        state=CallState.HANDING_OFF,
        started_at=STARTED_AT,
        reason="agent_ended",
        handoff=handoff or None,
        transcript=turns,
    )


async def test_the_post_has_the_fields_that_tms_expects(make_client: MakeCentre, simulator: Simulator) -> None:
    assert await make_client().post_transcript(record(*TURNS, handoff_reason="asked_for_human"), escalated=True)
    [posted] = await simulator.transcripts()
    assert posted["body"] == {
        "vendorId": "sipbridge",
        "busId": "4599999",
        "virtualAgentId": "",
        "contactId": "9000",
        "contactState": "SELF_SERVICE",
        "mediaType": "Voice",
        "selfServiceSessionDetails": {
            "transcriptPublishSettingOption": "PUBLISH_TRANSCRIPTS_ONLY",
            "sessionCompletionType": "ESCALATED",
            "sessionCompletionDetails": "asked_for_human",
            "transcriptSummary": "",
            "transcripts": [
                {
                    "participantId": participant,
                    "messageBody": text,
                    "messageContentType": "TRANSCRIPT",
                    "utcDateTime": at,
                }
                for participant, text, at in [
                    ("Bot", "Hello, how can I help?", "2025-01-02T03:04:06.678"),
                    ("Patron", "A human, please.", "2025-01-02T03:04:06.678"),
                    ("Bot", "Of course.", "2025-01-02T03:04:05.678"),
                ]
            ],
        },
    }


async def test_a_conversation_without_a_handoff_is_contained(make_client: MakeCentre, simulator: Simulator) -> None:
    assert await make_client().post_transcript(record(*TURNS), escalated=False)
    [posted] = await simulator.transcripts()
    details = posted["body"]["selfServiceSessionDetails"]
    assert details["sessionCompletionType"] == "CONTAINED"
    assert details["sessionCompletionDetails"] == "agent_ended"


@pytest.mark.parametrize(
    "nothing", [record(), record(Turn(role="agent", text=" ")), record(*TURNS, main_contact_id=" ")]
)
async def test_an_empty_transcript_is_not_posted(
    make_client: MakeCentre, simulator: Simulator, nothing: CallRecord
) -> None:
    assert not await make_client().post_transcript(nothing, escalated=True)
    assert await simulator.requests("transcript") == {}


@pytest.mark.parametrize("status", [302, 400, 403, 429, 500, 503])
async def test_a_post_that_fails_is_not_repeated(make_client: MakeCentre, simulator: Simulator, status: int) -> None:
    await simulator.fault("transcript", status=status)
    cxone = make_client()
    assert not await cxone.post_transcript(record(*TURNS), escalated=True)
    assert await simulator.requests("transcript") == {str(status): 1}
    assert await cxone.post_transcript(record(*TURNS), escalated=True)
    assert await simulator.requests("token") == {"200": 1}


async def test_a_refused_token_is_replaced_for_the_next_signal(make_client: MakeCentre, simulator: Simulator) -> None:
    await simulator.fault("transcript", expire_tokens=True)
    cxone = make_client()
    assert not await cxone.post_transcript(record(*TURNS), escalated=True)
    await cxone.signal("4711", {}, ignore_note)
    assert await simulator.requests("signal") == {"202": 1}


@pytest.mark.parametrize("endpoint", ["token", "transcript"])
async def test_a_slow_cxone_is_given_up_at_the_time_limit(
    make_client: MakeCentre, simulator: Simulator, endpoint: str
) -> None:
    await simulator.fault(endpoint, latency_seconds=60)
    started_at = time.monotonic()
    assert not await make_client(transcript_seconds=0.3).post_transcript(record(*TURNS), escalated=True)
    assert time.monotonic() - started_at < 1.9


@pytest.mark.parametrize("reset", ["before", "after"])
async def test_a_reset_is_not_repeated(make_client: MakeCentre, simulator: Simulator, reset: str) -> None:
    await simulator.fault("transcript", reset=reset)
    assert not await make_client().post_transcript(record(*TURNS), escalated=True)
    assert await simulator.requests("transcript") == {"reset": 1}


async def test_nothing_is_posted_while_the_breaker_is_open(make_client: MakeCentre, simulator: Simulator) -> None:
    cxone = make_client()
    await simulator.fault("signal", status=504, times=5)
    for _ in range(5):
        await cxone.signal("4711", {}, ignore_note)
    assert not await cxone.post_transcript(record(*TURNS), escalated=True)
    assert await simulator.requests("transcript") == {}
