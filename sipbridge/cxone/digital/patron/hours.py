"""Profiles of hours of operation.

Sources: public integrations (Inbenta and others). Days are named in English, times are `HH:MM:SS`, truth values are
texts. The times are those of the business unit, whose time zone the API does not name.
"""

from __future__ import annotations

from datetime import datetime, time

from sipbridge.cxone.digital.values import Json, is_true, list_of, text_of

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SPAN, _MORE = ("openTime", "closeTime"), ("additionalOpenTime", "additionalCloseTime")


def is_open(profile: Json, now: datetime) -> bool:
    """Return if a profile says that it is open at a local time; True too if it does not say."""
    today = _DAYS[now.weekday()]
    day = next((each for each in list_of(profile.get("days")) if text_of(each.get("day")).lower() == today), None)
    if day is None:
        return True
    if is_true(day.get("isClosedAllDay")):
        return False
    # Without additional hours, their times may be there all the same, as midnight.
    names = (_SPAN, _MORE) if is_true(day.get("hasAdditionalHours", True)) else (_SPAN,)
    spans = [(_time(day.get(opens)), _time(day.get(closes))) for opens, closes in names]
    known = [(opens, closes) for opens, closes in spans if opens is not None and closes is not None]
    return not known or any(_includes(opens, closes, now.time()) for opens, closes in known)


def _includes(opens: time, closes: time, at: time) -> bool:
    """True if a time is within a span, which may pass midnight; the same time twice is the whole day."""
    if opens < closes:
        return opens <= at < closes
    return at >= opens or at < closes


def _time(value: object) -> time | None:
    try:
        return time.fromisoformat(text_of(value)).replace(tzinfo=None)
    except ValueError:
        return None
