from __future__ import annotations

import errno
from types import SimpleNamespace

import pytest

from sipbridge.sip.pjsip_errors import explain


@pytest.mark.parametrize(
    ("status", "reason", "said"),
    [
        (120_000 + errno.EADDRINUSE, "Address already in use (PJ_X)", "address already in use"),
        (120_000 + errno.EPIPE, "Broken pipe", "broken pipe"),
        (171_039, "Invalid URI (PJSIP_EINVALIDURI)", "Invalid URI"),
        (70_007, "Too many objects of the specified type (PJ_ETOOMANY)", "Too many objects of the specified type"),
    ],
)
def test_a_status_of_pjsip_is_put_in_words(status: int, reason: str, said: str) -> None:
    assert explain(SimpleNamespace(status=status, reason=reason)) == said
