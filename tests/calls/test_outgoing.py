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


class ScriptedDialler(FakeDialler):
    """A dialler whose legs behave as their targets' `behaviours` say: a status, `answers`, `rings` or `is silent`."""

    def __init__(self, **behaviours: int | str) -> None:
        super().__init__(self._leg_to)
        self.targets = {URI: list(behaviours)}
        self.behaviours: dict[str, int | str] = dict(behaviours)
        self.contacts: tuple[str, ...] = ()
        self.locating = 0.0

    async def locate(self, uri: str, redirected_by: str = "") -> list[str]:
        await asyncio.sleep(self.locating)
        await super().locate(uri, redirected_by)
        return self.targets.get(uri, ["other"])

    async def _leg_to(self, invite: OutgoingInvite) -> FakeLeg:
        leg, behaviour = FakeLeg(Journal()), self.behaviours.get(invite.target, "answers")
        if behaviour == "answers":
            leg.far_end_answers()
        elif behaviour == "rings":
            leg.responded.set_result(None)
        elif isinstance(behaviour, int):
            leg.answered.set_exception(DialFailed(behaviour, str(behaviour), self.contacts, invite.target))
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
def _short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "UNRESPONSIVE_SECONDS", 0.05)


# ------------------------------------------------------------ targets


@pytest.mark.parametrize("behaviour", [503, 408, "is silent"])
async def test_the_next_target_is_tried(behaviour: int | str) -> None:
    dialler = ScriptedDialler(one=behaviour, two="answers", three="answers")
    assert await dialler.call(Callee(URI, 5)) == "two"
    assert dialler.tried == ["one", "two"]


@pytest.mark.parametrize("status", [486, 404, 500, 603, 401])
async def test_a_rejection_counts_for_all_targets(status: int) -> None:
    dialler = ScriptedDialler(one=status, two="answers")
    with pytest.raises(DialFailed) as failed:
        await dialler.call(Callee(URI, 5))
    assert failed.value.sip_status == status
    assert dialler.tried == ["one"]


async def test_a_ringing_target_gets_its_time() -> None:
    dialler = ScriptedDialler(one="rings", two="answers")
    with pytest.raises(DialFailed) as failed:
        await dialler.call(Callee(URI, 0.3))
    assert failed.value.sip_status == 408
    assert dialler.tried == ["one"]


async def test_the_last_target_gets_all_the_remaining_time() -> None:
    dialler = ScriptedDialler(one="is silent", two="is silent")
    began = time.monotonic()
    with pytest.raises(DialFailed, match="in time"):
        await dialler.call(Callee(URI, 0.4))
    assert time.monotonic() - began >= 0.39
    assert dialler.tried == ["one", "two"]


async def test_the_lookup_counts_against_the_time() -> None:
    dialler = ScriptedDialler(one="answers")
    dialler.locating = 3600
    began = time.monotonic()
    with pytest.raises(DialFailed) as failed:
        await dialler.call(Callee(URI, 0.1))
    assert failed.value.sip_status == 408
    assert time.monotonic() - began < 1
    assert dialler.tried == []


async def test_messages_are_accepted_from_all_targets_and_the_configured_networks() -> None:
    dialler = ScriptedDialler(one=503, two="answers", three="answers")
    assert await dialler.call(Callee(URI, 5, sources=("192.0.2.0/24",))) == "two"
    assert dialler.invites[0].sources == ("one", "two", "three", "192.0.2.0/24")


# ------------------------------------------------------------ 3xx


async def test_a_redirection_is_followed_once() -> None:
    dialler = ScriptedDialler(one=302)
    dialler.contacts = ("sip:other@elsewhere.example",)
    assert await dialler.call(Callee(URI, 5, ROUTES)) == "other"
    assert [invite.uri for invite in dialler.invites] == [URI, "sip:other@elsewhere.example"]
    dialler.behaviours["other"] = 302
    with pytest.raises(DialFailed) as failed:
        await dialler.call(Callee(URI, 5, ROUTES))
    assert failed.value.sip_status == 302
    assert len(dialler.invites) == 4


async def test_the_host_of_a_redirection_is_looked_up_as_a_name_of_the_peer() -> None:
    dialler = ScriptedDialler(one=503, two=302)
    dialler.contacts = ("sip:other@elsewhere.example",)
    assert await dialler.call(Callee(URI, 5, ROUTES)) == "other"
    assert dialler.located == [(URI, ""), ("sip:other@elsewhere.example", "two")]


async def test_credentials_are_sent_only_to_the_configured_host() -> None:
    dialler = ScriptedDialler(one=302)
    dialler.contacts = ("sip:other@elsewhere.example",)
    await dialler.call(Callee(URI, 5, ROUTES, SECRET))
    dialler.contacts = ("sip:other@AGENTS.example:5070",)
    await dialler.call(Callee(URI, 5, ROUTES, SECRET))
    assert [invite.credentials for invite in dialler.invites] == [SECRET, None, SECRET, SECRET]


@pytest.mark.parametrize(
    ("credentials", "words"), [(None, "set username and password"), (SECRET, "check username and password")]
)
async def test_the_error_for_an_unmet_challenge_says_what_to_do(credentials: Credentials | None, words: str) -> None:
    with pytest.raises(DialFailed, match=words) as failed:
        await ScriptedDialler(one=407).call(Callee(URI, 5, credentials=credentials))
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
        (URI, ["sip:a@agents.example:65536", "sip:b@agents.example:65535"], "sip:b@agents.example:65535"),
    ],
)
def test_the_contact_of_a_3xx_that_is_followed(called: str, contacts: list[str], followed: str | None) -> None:
    assert redirected(Callee(called, 5, ROUTES), contacts) == followed
