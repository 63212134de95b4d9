"""The question that a store asks about an ended call: must it note that the webhook waits for events?"""

from __future__ import annotations

from collections.abc import Callable

# True for a client and a project with a webhook.
HasWebhook = Callable[[str, str], bool]


def has_none(_client: str, _project: str) -> bool:
    """Return False: no project has a webhook."""
    return False
