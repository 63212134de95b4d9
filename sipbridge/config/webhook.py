"""`webhook`: where the events of a project are posted."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sipbridge.config.fields import Secret, Section, WebhookUrl


class WebhookConfig(Section):
    """The receiver of events. `secret` signs them."""

    url: WebhookUrl = Field(repr=False)
    secret: Annotated[Secret, Field(min_length=16)]
    allow_private_addresses: bool = False
