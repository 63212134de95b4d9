"""`handoff`: the destinations of callers, and the parameters of the Signal to CXone."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sipbridge.config.credentials import CalleeConfig
from sipbridge.config.fields import (
    DtmfDigit,
    Line,
    Name,
    ReadableFile,
    ReferUri,
    RoutePattern,
    Seconds,
    SecondsOrZero,
    Section,
    SipHeaders,
    SipUri,
)
from sipbridge.config.signal_template import SignalTemplate

ParameterName = Literal["p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9"]


class _Destination(Section):
    skill: Line = ""
    signal: bool = True


class ReleaseDestination(_Destination):
    """The Studio script continues with the caller, and our leg ends."""

    method: Literal["release"]


class ReferDestination(_Destination):
    """Blind transfer: CXone transfers the caller to the URI."""

    method: Literal["refer"]
    uri: ReferUri
    headers: SipHeaders = Field(default={}, repr=False)


class InviteDestination(_Destination, CalleeConfig):
    """We call the URI and join the two legs. `username`, `password` and `trusted_sources` are as for a SIP agent."""

    method: Literal["invite"]
    uri: SipUri
    headers: SipHeaders = Field(default={}, repr=False)
    answer_timeout_seconds: Seconds = 20


Destination = Annotated[ReleaseDestination | ReferDestination | InviteDestination, Field(discriminator="method")]


def _default_signal() -> dict[ParameterName, SignalTemplate]:
    return {
        "p1": SignalTemplate("{destination}"),
        "p2": SignalTemplate("{skill}"),
        "p3": SignalTemplate("{reason}"),
        "p9": SignalTemplate("{pop_url}"),
    }


def _default_end_signal() -> dict[ParameterName, SignalTemplate]:
    return {"p1": SignalTemplate("End")}


class HandoffConfig(Section):
    """How a project hands callers off to human agents. `load_config` ensures that `default` is defined.

    `dtmf_key` is the DTMF digit with which a caller requests one; None if there is no such digit. `hold_audio` is the
    recording that a caller hears until they are taken; None is silence. `take_back_seconds` is how long CXone may take
    to take a caller before the agent gets them back; None is for ever.
    """

    default: Name
    destinations: dict[Name, Destination] = Field(min_length=1)
    allowed_routes: tuple[RoutePattern, ...] = ()
    signal: dict[ParameterName, SignalTemplate] = Field(default_factory=_default_signal)
    end_signal: dict[ParameterName, SignalTemplate] = Field(default_factory=_default_end_signal)
    release_grace_seconds: SecondsOrZero = 5
    post_transcript: bool = False
    dtmf_key: DtmfDigit | None = None
    hold_audio: ReadableFile | None = None
    take_back_seconds: Seconds | None = None
