"""The bring-your-own channels, as an administrator enters them at CXone."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

NonEmpty = Annotated[str, Field(min_length=1)]
BoxUrl = Annotated[str, Field(pattern=r"^https?://[^\s?#]+[^\s?#/]$")]


class ByocChannel(BaseModel):
    """A bring-your-own channel. Without a `box_url`, CXone has nowhere to send what the human agent does.

    `repeats` is how often CXone makes a call to the box again whose response it did not see. NICE does not say if it
    does so; it has no idempotency key. `lose_responses` is the number of next responses that it does not see.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$")]
    name: NonEmpty = "Bring your own"
    box_url: BoxUrl | None = None
    client_id: NonEmpty = "box-client"
    client_secret: NonEmpty = "box-secret"  # noqa: S105 (published on purpose: it is valid for the simulator only)
    outbound_api: bool = True  # the toggle "DFO 3.0 Outbound API"
    typing: bool = True
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 10  # of a call to the box
    repeats: Annotated[int, Field(ge=0, le=1000)] = 0
    repeat_seconds: Annotated[float, Field(ge=0, le=600)] = 0.2
    lose_responses: Annotated[int, Field(ge=0)] = 0
    link_seconds: Annotated[float, Field(ge=0)] = 60  # the life of the link of an attachment, from the call to the box


DEMO_CHANNEL = ByocChannel(id="byoc_44444444-4444-4444-8444-444444444444", name="Demo bring your own")
