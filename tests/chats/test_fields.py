from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sipbridge.chats.fields import custom_fields
from sipbridge.chats.model import ChatRecord, ChatState, Customer
from sipbridge.chats.request import ChatRequest
from sipbridge.config import ChatChannelConfig, DfoChannelConfig, PatronChannelConfig
from sipbridge.errors import HandoffInvalid
from sipbridge.handoffs.record import HandoffRecord, HandoffState

LINK = "https://bridge.example/pop/c1"
REQUEST = ChatRequest(id="c1", reason="orders", data={"order": 7})


def dfo(**fields: str) -> ChatChannelConfig:
    values = {"type": "dfo", "brand_id": 1, "channel_id": "chat_1", "environment": "NA1", "custom_fields": fields}
    return DfoChannelConfig.model_validate(values)


def patron(*parameters: str) -> ChatChannelConfig:
    url = "https://home-c29.nice-incontact.com/incontact/chatclient/chatclient.aspx?poc=1&bu=2"
    values = {"type": "patron", "poc_url": url, "access_key_id": "a", "access_key_secret": "b"}
    return PatronChannelConfig.model_validate(values | {"parameters": parameters})


def filled(channel: ChatChannelConfig, **own: str) -> dict[str, str]:
    now = datetime.now(UTC)
    handoff = HandoffRecord(
        state=HandoffState.INITIATED,
        shared_id="c1",
        destination="web",
        method="chat",
        reason="orders",
        requested_by="bot",
        data=dict(REQUEST.data),
        handoff_at=now,
    )
    record = ChatRecord(
        uid="00000000-0000-4000-8000-000000000001",
        chat_id="c1",
        client="acme",
        project="support",
        channel="web",
        digest="",
        customer=Customer(first_name="Eva"),
        state=ChatState.REQUESTED,
        started_at=now,
        handoff=handoff,
    )
    return custom_fields(channel, record, REQUEST.model_copy(update={"custom_fields": own}), lambda _: LINK)


def test_templates_are_filled_in_and_the_bots_own_fields_win() -> None:
    channel = dfo(name="{customer.first_name}", order="{data.order}", pop="{pop_url}", tier="silver", none="{skill}")
    assert filled(channel, tier="gold") == {"name": "Eva", "order": "7", "pop": LINK, "tier": "gold"}


def test_value_is_cut_to_what_cxone_takes() -> None:
    assert filled(dfo(long="x" * 2000)) == {"long": "x" * 1024}


def test_patron_parameters_are_numbered_and_in_order() -> None:
    values = filled(patron(*(f"value {number}" for number in range(1, 13))), P2="own")
    assert list(values) == [f"P{number}" for number in range(1, 13)]
    assert (values["P2"], values["P10"]) == ("own", "value 10")


@pytest.mark.parametrize("name", ["tier", "P0", "P100", "P999999999", "p1", "P", "P01"])
def test_bot_cannot_make_a_list_of_any_length_of_patron_parameters(name: str) -> None:
    with pytest.raises(HandoffInvalid, match="takes P1 to P99 only"):
        filled(patron("x"), **{name: "own"})
