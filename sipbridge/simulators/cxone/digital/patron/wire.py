"""The messages of a poll and the objects of availability as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sipbridge.simulators.cxone.digital.messages import HumanAgent
from sipbridge.simulators.cxone.digital.patron.settings import DAYS, Hours

Json = dict[str, Any]

SYSTEM, AGENT, CUSTOMER = ("1", "System"), ("2", "Agent"), ("3", "Client")  # PartyTypeId and PartyTypeValue
ENDED_TEXT = "$Localized:ChatSessionEnded"


def status(name: str, agent_label: str = "") -> Json:
    """Return a status message: Waiting, Active or Disconnected."""
    return _message("Status", SYSTEM, agent_label, Status=name)


def text(value: str, label: str, party: tuple[str, str]) -> Json:
    """Return a text."""
    return _message("Text", party, label, Text=value)


def typing(label: str, *, on: bool) -> Json:
    """Return the typing of a human agent."""
    return _message("AgentTyping", AGENT, label, IsTyping=str(on), IsTextEntered=str(on))


def _message(kind: str, party: tuple[str, str], label: str, **values: str) -> Json:
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "Type": kind,
        "PartyTypeId": party[0],
        "PartyTypeValue": party[1],
        "Label": label,
        "Timestamp": at,
        **values,
    }


def label_of(agent: HumanAgent, *, with_id: bool) -> str:
    """Return the label of a human agent."""
    return f"{agent.name}|{agent.id}" if with_id else agent.name


def a_profile(hours: Hours) -> Json:
    """Return a profile of hours of operation. Truth values are texts here."""
    has_more = hours.additional_opens is not None and hours.additional_closes is not None
    return {
        "profileId": hours.profile_id,
        "profileName": f"Hours {hours.profile_id}",
        "days": [
            {
                "day": day,
                "openTime": hours.opens,
                "closeTime": hours.closes,
                "hasAdditionalHours": str(has_more),
                "additionalOpenTime": hours.additional_opens or "",
                "additionalCloseTime": hours.additional_closes or "",
                "isClosedAllDay": str(day in hours.closed_days),
            }
            for day in DAYS
        ],
        "holidays": [],
    }
