"""Values of handoff requests: each is refused, or is unchanged in the journal, the store and the API."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_core import from_json

from sipbridge.calls.model import CallRecord, CallState
from sipbridge.calls.ports.cxone import SignalResult
from sipbridge.calls.ports.store import RecordStore
from sipbridge.errors import StoreError
from sipbridge.handoffs.request import HandoffRequest
from sipbridge.store.journal.journal import FileJournal
from sipbridge.web.api.schemas import CallDetail, HandoffStateResponse

from .records import make_handoff, make_record

CASES = 300
# JSON texts, as received.
SCALARS = [
    *("0", "-0", "-0.0", "1e400", "-1e400", "1E-400", "1.7976931348623157e308", "0.1", "NaN", "Infinity", "-Infinity"),
    *("9223372036854775808", "-9223372036854775809", "18446744073709551616", "9" * 400, "-" + "9" * 4300, "9" * 4301),
    *('""', r'"\u0000"', r'"\ud800"', r'"\udfff"', r'"\ud83d\ude00"', '"\u2028\u2029\ufeff"', '"' + "é" * 20_000 + '"'),
    *("null", "true", "false", r'"\n\r\t\\\""', '"x"', "[]", "{}", "[" * 190 + "]" * 190, "[" * 260 + "]" * 260),
]
KEYS = [
    "a",
    "",
    r"\u0000",
    r"\ud800",
    "handoff_state",
    "model_config",
    "__class__",
    "é",
    " ",
    "x" * 300,
    "what",
    "call",
]


def _json(chance: random.Random, levels: int) -> str:
    kind = chance.random()
    if levels == 0 or kind < 0.6:
        return chance.choice(SCALARS)
    if kind < 0.8:
        return f"[{','.join(_json(chance, levels - 1) for _ in range(chance.randrange(4)))}]"
    return _object(chance, levels - 1, chance.randrange(4))


def _object(chance: random.Random, levels: int, size: int) -> str:
    pairs = [f'"{chance.choice(KEYS)}":{_json(chance, levels)}' for _ in range(size)]
    return "{" + ",".join(pairs) + "}"


def _request(chance: random.Random) -> str:
    fields = {"data": _object(chance, 3, chance.randrange(1, 5))}
    texts = [name for name in ("utterance", "reason", "shared_id") if chance.random() < 0.3]
    fields |= {name: chance.choice(SCALARS) for name in texts}
    if chance.random() < 0.3:
        fields["parameters"] = f'{{"p1":{_json(chance, 2)}}}'
    if chance.random() < 0.3:
        fields["transcript"] = f'[{{"role":"caller","text":{chance.choice(SCALARS)}}}]'
    return "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"


def _accepted(chance: random.Random) -> HandoffRequest | None:
    """Parse as the HTTP API and WebSocket agents do; None if the request is refused."""
    text = _request(chance)
    try:
        value = from_json(text, allow_inf_nan=False) if chance.random() < 0.7 else json.loads(text)
        return HandoffRequest.model_validate(value)
    except (ValueError, ValidationError):
        return None


def _record(number: int, request: HandoffRequest) -> CallRecord:
    handoff = make_handoff(
        shared_id=request.shared_id or "contact",
        reason=request.reason or "care",
        utterance=request.utterance,
        data=request.data,
        parameters=request.parameters,
    )
    return make_record(f"call-{number}", handoff=handoff, transcript=request.transcript, state=CallState.HANDING_OFF)


async def test_accepted_values_are_unchanged_in_journal_store_and_api(store: RecordStore, tmp_path: Path) -> None:
    chance = random.Random(20261128)  # noqa: S311 (a fixed seed)
    requests = [request for _ in range(CASES) if (request := _accepted(chance))]
    assert CASES / 10 < len(requests) < CASES, "some are refused, and some are not"
    records = [_record(number, request) for number, request in enumerate(requests)]
    path = tmp_path / "journal"
    journal = FileJournal(path)
    for number, record in enumerate(records):
        assert await journal.begin(record, {"X-Line": record.handoff.utterance if record.handoff else ""})
        if number % 3 == 0:
            assert await journal.signalling(record)
        elif number % 3 == 1:
            journal.unstored(record)
        await store.put(record)
    await journal.close()
    again = FileJournal(path)
    found = again.unfinished()
    await again.close()
    by_id = {call.record.call_id: call for call in found}
    for number, record in enumerate(records):
        assert _exactly(by_id[record.call_id].record) == _exactly(record)
        assert by_id[record.call_id].signal is (SignalResult.UNKNOWN if number % 3 == 0 else None)
        stored = await store.get("acme", "billing", record.call_id)
        assert stored is not None
        assert _exactly(stored) == _exactly(record)
        assert record.handoff is not None
        shown = json.loads(CallDetail.of(stored).model_dump_json())["handoff"]["data"]
        assert repr(shown) == repr(record.handoff.data)
        json.loads(HandoffStateResponse.of(stored, record.handoff).model_dump_json())


def _exactly(record: CallRecord) -> str:
    # Because 1 == 1.0 == True.
    return repr(record.model_dump(mode="json"))


@pytest.mark.parametrize("value", [{"a": "\ud800"}, {"\udfff": 1}, {"a": [{"b": "x\udc00"}]}])
def test_a_lone_surrogate_is_refused_everywhere(value: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="lone surrogate"):
        HandoffRequest(data=value)
    with pytest.raises(ValidationError, match="lone surrogate"):
        HandoffRequest.model_validate({"parameters": {"p1": value}})


@pytest.mark.parametrize("number", [float("inf"), float("nan"), 10**4300], ids=["inf", "nan", "long"])
def test_a_number_that_json_cannot_express_is_refused(number: float) -> None:
    with pytest.raises(ValidationError, match="number"):
        HandoffRequest(data={"a": [number]})


async def test_invalid_values_in_a_record_are_journalled(store: RecordStore, tmp_path: Path) -> None:
    """The store would reject the record, so the journal must accept it."""
    record = make_record(handoff=make_handoff(utterance="half \ud800"), state=CallState.ENDED)
    with pytest.raises(StoreError):
        await store.put(record)
    journal = FileJournal(tmp_path / "journal")
    journal.unstored(record)
    await journal.close()
    again = FileJournal(tmp_path / "journal")
    assert again.unfinished()[0].record.call_id == "call-1"
    await again.close()
