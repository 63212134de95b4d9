"""The settings of the simulated gateway that can change while it runs."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0, le=1_000_000)]


class Settings(BaseModel):
    """The settings. NICE publishes none of these figures; those of AWS's API Gateway are the defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    page_size: Annotated[int, Field(ge=1, le=1000)] = 30  # messages of ThreadRecovered and MoreMessagesLoaded
    token_seconds: Annotated[int, Field(ge=1)] = 3600
    idle_seconds: Seconds = 600  # a socket without a frame of the client is closed
    connection_seconds: Seconds = 7200  # the age at which a socket is closed
    max_frame_bytes: Annotated[int, Field(ge=1024)] = 128 * 1024  # bigger frames to the client go through EventInS3
    deduplicate: bool = False  # a message with a known idOnExternalPlatform is not created again
    down: bool = False  # new connections of the socket are reset
