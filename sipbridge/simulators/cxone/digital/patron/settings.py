"""The points of contact, and the settings of patron chat that can change while the simulator runs."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

NonEmpty = Annotated[str, Field(min_length=1)]
DayTime = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d:[0-5]\d$")]

Day = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
DAYS: tuple[Day, ...] = get_args(Day)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Point(_Model):
    """A point of contact for chat."""

    id: NonEmpty
    name: NonEmpty = "Chat"
    skill: NonEmpty = "1001"
    open: bool = True  # else a chat gets `closed_text` and is over
    closed_text: NonEmpty = "The department is currently closed."


class Hours(_Model):
    """A profile of hours of operation, in the time zone of the business unit, which the API does not name."""

    profile_id: NonEmpty
    opens: DayTime = "00:00:00"
    closes: DayTime = "23:59:59"
    additional_opens: DayTime | None = None
    additional_closes: DayTime | None = None
    closed_days: tuple[Day, ...] = ()


class PatronSettings(_Model):
    """The settings. Those that NICE does not document are marked with an asterisk."""

    chat_seconds: Annotated[float, Field(gt=0)] = 3600  # the age at which a chat ends
    echo: bool = True  # the customer's own texts come back in a poll
    label_with_id: bool = False  # the label of a human agent is `name|id`
    ended_text: bool = True  # `$Localized:ChatSessionEnded` before the end
    ended_status: bool = True  # the status Disconnected at the end
    ended_form: Literal["404", "session_ended"] = "404"  # * the polls after the end
    keeps_unread: bool = False  # * a batch whose response was lost is repeated for the session id before
    min_timeout_seconds: Annotated[int, Field(ge=0)] = 10  # of a poll
    agents_logged_in: Annotated[int, Field(ge=0)] = 3
    agents_available: Annotated[int, Field(ge=0)] = 2


DEMO_POINT = Point(id="123", name="Demo point of contact")
DEMO_HOURS = Hours(profile_id="7")
