"""The settings of DFO REST 3.0 that can change while the simulator runs."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class ByocSettings(BaseModel):
    """The settings. The throttle of one contact is the documented one; that of a tenant is too high to matter here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    contact_burst: Annotated[int, Field(ge=1)] = 250  # requests for one contact at once
    contact_per_minute: Annotated[float, Field(gt=0)] = 17  # and how many it may have again per minute
    deduplicate: bool = False  # a message with a known idOnExternalPlatform is not created again
    page_size: Annotated[int, Field(ge=1, le=1000)] = 25  # of lists with a scrollToken
