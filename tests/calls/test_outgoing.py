from __future__ import annotations

import asyncio
import time

import pytest

from sipbridge.calls import outgoing
from sipbridge.calls.outgoing import Attempt, Callee, call_out, redirected
from sipbridge.errors import DialFailed
from sipbridge.telephony.credentials import Credentials
from tests.fakes import FakeDialler, FakeLeg, Journal, OutgoingInvite

URI = "sip:bot@agents.example"
ROUTES = ("sip:*@elsewhere.example", "sips:*@elsewhere.example*", "sip:*@agents.example*", "sip:*@elsewhere.example;*")
SECRET = Credentials("bridge", "secret")


class Line(FakeDialler):
    """A dialler whose legs behave as their targets' `fates` say: a status, `answers`, `rings` or `is silent`."""

    def __init__(self, **fates: int | str) -> None:
        super().__init__(self._leg_to)
        self.targets = {URI: list(fates)}
        self.fates: dict[str, int | str] = dict(fates)
        self.contacts: tuple[str, ...] = ()
        self.locating = 0.0

    async def locate(self, uri: str) -> list[str]:
        await asyncio.sleep(self.locating)
        return self.targets.get(uri, ["other"])

    async def _leg_to(self, invite: OutgoingInvite) -> FakeLeg:
        leg, fate = FakeLeg(Journal()), self.fates.get(invite.target, "answers")
        if fate == "answers":
            leg.far_end_answers()
        elif fate == "rings":
            leg.responded.set_result(None)
        elif isinstance(fate, int):
            leg.answered.set_exception(DialFailed(fate, str(fate), self.contacts))
        return leg

    async def call(self, callee: Callee) -> str:
        """Call out; returns the target that answered."""

        async def attempt(one: Attempt) -> str:
            leg = await one.dial({}, "+15550100")
            async with one.responds_in_time(leg):
                await asyncio.shield(leg.answered)
            return one.target

        return await call_out(self, callee, attempt)

    @property
    def tried(self) -> list[str]:
        return [invite.target for invite in self.invites]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "UNRESPONSIVE_SECONDS", 0.05)


# ------------------------------------------------------------ targets


@pytest.mark.parametrize("fate", [503, 408, "is silent"])
async def test_the_next_target_is_tried(fate: int | str) -> None:
    line = Line(one=fate, two="answers", three="answers")
    assert await line.call(Callee(URI, 5)) == "two"
    assert line.tried == ["one", "two"]


@pytest.mark.parametrize("status", [486, 404, 500, 603, 401])
async def test_a_rejection_counts_for_all_targets(status: int) -> None:
    line = Line(one=status, two="answers")
    with pytest.raises(DialFailed) as failed:
        await line.call(Callee(URI, 5))
    assert failed.value.sip_status == status
    assert line.tried == ["one"]


async def test_a_ringing_target_gets_its_time() -> None:
    line = Line(one="rings", two="answers")
    with pytest.raises(DialFailed) as failed:
        await line.call(Callee(URI, 0.3))
    assert failed.value.sip_status == 408
    assert line.tried == ["one"]


async def test_the_last_target_gets_all_the_remaining_time() -> None:
    line = Line(one="is silent", two="is silent")
    began = time.monotonic()
    with pytest.raises(DialFailed, match="in time"):
        await line.call(Callee(URI, 0.4))
    assert time.monotonic() - began >= 0.39
    assert line.tried == ["one", "two"]


async def test_the_lookup_counts_against_the_time() -> None:
    line = Line(one="answers")
    line.locating = 3600
    began = time.monotonic()
    with pytest.raises(DialFailed) as failed:
        await line.call(Callee(URI, 0.1))
    assert failed.value.sip_status == 408
    assert time.monotonic() - began < 1
    assert line.tried == []


async def test_messages_are_accepted_from_all_targets_and_the_configured_networks() -> None:
    line = Line(one=503, two="answers", three="answers")
    assert await line.call(Callee(URI, 5, sources=("192.0.2.0/24",))) == "two"
    assert line.invites[0].sources == ("one", "two", "three", "192.0.2.0/24")


# ------------------------------------------------------------ 3xx


async def test_a_redirection_is_followed_once() -> None:
    line = Line(one=302)
    line.contacts = ("sip:other@elsewhere.example",)
    assert await line.call(Callee(URI, 5, ROUTES)) == "other"
    assert [invite.uri for invite in line.invites] == [URI, "sip:other@elsewhere.example"]
    line.fates["other"] = 302
    with pytest.raises(DialFailed) as failed:
        await line.call(Callee(URI, 5, ROUTES))
    assert failed.value.sip_status == 302
    assert len(line.invites) == 4


async def test_credentials_are_sent_only_to_the_configured_host() -> None:
    line = Line(one=302)
    line.contacts = ("sip:other@elsewhere.example",)
    await line.call(Callee(URI, 5, ROUTES, SECRET))
    line.contacts = ("sip:other@AGENTS.example:5070",)
    await line.call(Callee(URI, 5, ROUTES, SECRET))
    assert [invite.credentials for invite in line.invites] == [SECRET, None, SECRET, SECRET]


@pytest.mark.parametrize(
    ("credentials", "words"), [(None, "set username and password"), (SECRET, "check username and password")]
)
async def test_the_error_for_an_unmet_challenge_says_what_to_do(credentials: Credentials | None, words: str) -> None:
    with pytest.raises(DialFailed, match=words) as failed:
        await Line(one=407).call(Callee(URI, 5, credentials=credentials))
    assert failed.value.sip_status == 407


@pytest.mark.parametrize(
    ("called", "contacts", "followed"),
    [
        (URI, [], None),
        (URI, ["sip:a@evil.example"], None),
        (URI, ["sip:a@evil.example", "sip:b@elsewhere.example"], "sip:b@elsewhere.example"),
        (URI, ["tel:+15550100", "mailto:x@elsewhere.example"], None),
        (URI, [URI], None),  # a loop
        (f"{URI};srtp", ["sip:a@elsewhere.example"], "sip:a@elsewhere.example;srtp=mandatory"),
        (f"{URI};srtp=optional", ["sip:a@elsewhere.example;srtp"], "sip:a@elsewhere.example;srtp=optional"),
        (URI, ["sip:a@elsewhere.example;srtp"], "sip:a@elsewhere.example"),
        (URI, ["sip:a@elsewhere.example;srtp=no;srtp=no"], None),
        (f"{URI};transport=tcp", ["sip:a@elsewhere.example"], "sip:a@elsewhere.example;transport=tcp"),
        (f"{URI};transport=tls", ["sip:a@elsewhere.example;transport=udp"], None),
        ("sips:bot@agents.example", ["sip:a@elsewhere.example;transport=tls"], None),
        ("sips:bot@agents.example", ["sips:a@elsewhere.example"], "sips:a@elsewhere.example"),
        (URI, ["sip:a@elsewhere.example;maddr=192.0.2.1"], None),
    ],
)
def test_the_contact_of_a_3xx_that_is_followed(called: str, contacts: list[str], followed: str | None) -> None:
    assert redirected(Callee(called, 5, ROUTES), contacts) == followed
