"""The hostile peer's tools: the same seed gives the same mutants, and most of them pass the first checks."""

from __future__ import annotations

import re

from tests.fuzz.mutator import Mutator
from tests.harness.sip.scenario_messages import templates

VALUES = {"service": "+19995550001", "token": "secret", "call_id": "a", "branch": "z9hG4bK-1", "local_ip": "127.0.0.1"}


def some_mutants(seed: int) -> list[bytes]:
    mutator = Mutator(seed)
    return [mutator.mutant(each.fill(VALUES)) for each in templates()]


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert some_mutants(1) == some_mutants(1)
    assert some_mutants(1) != some_mutants(2)


def test_the_scenarios_contain_messages_of_every_kind() -> None:
    methods = {each.method for each in templates()}
    assert {"INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "REFER", "NOTIFY", "UPDATE", "200"} <= methods


def test_a_filled_message_is_complete() -> None:
    for template in templates():
        head, _, body = template.fill(VALUES).partition(b"\r\n\r\n")
        assert not re.search(rb"\[[a-z]", head)
        assert b"\n" not in head.replace(b"\r\n", b"")
        if b"[len]" in template.text.encode():
            assert re.search(rb"^(Content-Length|l): %d\r?$" % len(body), head, re.MULTILINE)


def test_most_mutants_keep_the_parts_that_are_checked_first() -> None:
    mutator = Mutator(1)
    invites = [each.fill(VALUES) for each in templates() if each.method == "INVITE" and "[token]" in each.text]
    mutants = [mutator.mutant(invite) for invite in invites * 20]
    kept = [each for each in mutants if re.search(rb"^X-Auth-Token: secret\r$", each, re.MULTILINE)]
    assert len(kept) > 0.7 * len(mutants)
    assert (
        all(mutant != invite for mutant, invite in zip(mutants, invites * 20, strict=True)) or len(set(mutants)) > 100
    )


def test_every_kind_of_mutation_occurs() -> None:
    mutator = Mutator(1)
    for template in templates() * 10:
        mutator.mutant(template.fill(VALUES))
    assert len(mutator.counts) > 30


def test_a_stream_is_cut_into_pieces_without_loss() -> None:
    mutator = Mutator(1)
    messages = some_mutants(1)
    assert all(b"".join(mutator.pieces(messages)) == b"".join(messages) for _ in range(20))
