"""RFC 4475's messages, sent to the running program: malformed ones do no harm, the others get their response."""

from __future__ import annotations

import pytest

from tests.harness.sip.raw_sender import RawSender
from tests.harness.sip.torture import TortureMessage, torture_messages

from .site import Site

MESSAGES = torture_messages()


@pytest.fixture
def sender(trunk: Site) -> RawSender:
    return RawSender(trunk.bridge)


def test_all_messages_of_the_rfc_are_present() -> None:
    assert len(MESSAGES) == 49


@pytest.mark.parametrize("torture", MESSAGES, ids=lambda each: each.name)
def test_each_torture_message_over_udp_gets_its_response(sender: RawSender, torture: TortureMessage) -> None:
    assert sender.final_statuses(torture.with_new_ids()) == torture.udp


@pytest.mark.parametrize("torture", MESSAGES, ids=lambda each: each.name)
def test_each_torture_message_over_tcp_gets_its_response(sender: RawSender, torture: TortureMessage) -> None:
    assert sender.final_statuses(torture.with_new_ids(), over_tcp=True) == torture.tcp
