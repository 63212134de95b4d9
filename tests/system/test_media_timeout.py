"""A caller whose RTP stops is handed off, or hung up on, after `media_timeout_seconds`."""

from __future__ import annotations

import itertools
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.media.audio import write_silence
from tests.harness.media.g711 import FRAME_BYTES
from tests.harness.media.rtp_peer import RtpStream
from tests.harness.ports import reserved_port
from tests.harness.programs.simulator import Simulator
from tests.harness.programs.sipp import Sipp
from tests.harness.settings import Settings, project_settings
from tests.harness.waiting import wait_for

from .site import Site
from .websocket_site import WebsocketCall, WebsocketSite, websocket_project, websocket_site

TIMEOUT_SECONDS = 1.0
COMFORT_NOISE = 13  # RFC 3389
CLIP_SECONDS = 5
MAX_CALL_SECONDS = 2
DESK = "desk"


@dataclass(frozen=True)
class CalledParty:
    """The far end of a call that the bridge places: an agent or a desk, with audio of the test."""

    sipp: Sipp
    audio: RtpStream


@dataclass(frozen=True)
class MediaTimeoutSite:
    """A bridge with a media timeout of a second, and a port that it calls."""

    callers: WebsocketSite
    port: int

    @property
    def trunk(self) -> Site:
        """The bridge."""
        return self.callers.trunk

    @contextmanager
    def call(self, project: str, scenario: str = "media_caller", *, hold_seconds: float = 0) -> Iterator[WebsocketCall]:
        """Place a call, with audio while the block runs."""
        with self.callers.call(project, scenario, hold_seconds=hold_seconds) as call:
            call.wait_until_answered()
            wait_for(lambda: call.caller.has_begun, "audio of the caller")
            yield call

    @contextmanager
    def joined(self, project: str) -> Iterator[tuple[WebsocketCall, CalledParty]]:
        """Place a call that is joined to an agent or a desk."""
        with self.callers.rtp.port() as port:
            keys = {"rtp_port": str(port.port)}
            sipp = Sipp("media_agent", self.trunk.folder, port=self.port, keys=keys).await_port()
            with sipp, self.callers.call(project) as call:
                wait_for(lambda: call.caller.has_begun, "audio of the caller")
                wait_for(lambda: port.stream().has_begun, "audio of the far end")
                yield call, CalledParty(sipp, port.stream())


@pytest.fixture(scope="module")
def shared_timeout_site(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[MediaTimeoutSite]:
    folder, port = tmp_path_factory.mktemp("media_timeout"), reserved_port()
    with websocket_site(folder, cxone, lambda url: _projects(folder, url, port)) as callers:
        yield MediaTimeoutSite(callers, port)


@pytest.fixture
def timeout_site(shared_timeout_site: MediaTimeoutSite) -> Iterator[MediaTimeoutSite]:
    """The bridge that these tests share; no test may leave a call in progress."""
    yield shared_timeout_site
    shared_timeout_site.trunk.bridge.wait_until_idle()


def _projects(folder: Path, url: str, port: int) -> dict[str, Settings]:
    clip = folder / "clip.wav"
    write_silence(clip, CLIP_SECONDS)
    prompt = {"type": "prompt", "audio": str(clip)}
    there = f"sip:there@127.0.0.1:{port}"
    watched: Settings = {"media_timeout_seconds": TIMEOUT_SECONDS}
    hangup: Settings = {**watched, "on_media_timeout": "hangup"}
    desk = {"method": "invite", "uri": there}
    return {
        "websocket": websocket_project("websocket", url, **watched),
        "sip": project_settings("sip", agent={"type": "sip", "uri": there}, **watched),
        "prompt": project_settings("prompt", agent=prompt, **watched),
        "ended": websocket_project("ended", url, **hangup),
        "patient": websocket_project("patient", url, media_timeout_seconds=None),
        DESK: project_settings(DESK, desk, **watched),
        "brief": project_settings("brief", desk, max_call_seconds=MAX_CALL_SECONDS),
    }


def assert_handed_off(timeout_site: MediaTimeoutSite, project: str, call: WebsocketCall) -> None:
    """Assert that the call of a silent caller is handed off."""
    count = timeout_site.trunk.count()
    call.caller.muted = True
    call.wait_for_scenario()
    handoff = call.record()["handoff"]
    assert (handoff["reason"], handoff["requested_by"]) == ("media_timeout", "bridge")
    assert [signal["p3"] for signal in call.signals()] == ["media_timeout"]
    assert count.grows_by(1, "sipbridge_handoffs_total", project=project)


def test_a_strangers_audio_does_not_keep_up_the_call_of_a_silent_caller(timeout_site: MediaTimeoutSite) -> None:
    with timeout_site.call("websocket") as call, timeout_site.callers.rtp.port() as port:
        port.call(call.caller.remote)
        assert_handed_off(timeout_site, "websocket", call)


@pytest.mark.parametrize("project", ["websocket", "prompt"])
def test_a_caller_whose_audio_stops_is_handed_off(timeout_site: MediaTimeoutSite, project: str) -> None:
    with timeout_site.call(project) as call:
        assert_handed_off(timeout_site, project, call)


def test_a_caller_of_a_sip_agent_whose_audio_stops_is_handed_off(timeout_site: MediaTimeoutSite) -> None:
    with timeout_site.joined("sip") as (call, agent):
        call.wait_until_answered()
        assert_handed_off(timeout_site, "sip", call)
        agent.sipp.check()


def test_a_caller_whose_audio_stops_is_hung_up_on_if_configured(timeout_site: MediaTimeoutSite) -> None:
    count = timeout_site.trunk.count()
    with timeout_site.call("ended") as call:
        call.caller.muted = True
        call.wait_for_scenario()
        record = call.record()
    assert (record["ended_by"], record["reason"], record["handoff"]) == ("bridge", "media_timeout", None)
    assert call.signals() == [{"p1": "End"}]
    assert count.grows_by(1, "sipbridge_calls_total", result="upstream_error", reason="media_timeout")


def test_a_caller_that_never_sends_audio_is_not_timed_out(timeout_site: MediaTimeoutSite) -> None:
    with timeout_site.callers.call("prompt", "caller_hangs_up", hold_seconds=3 * TIMEOUT_SECONDS) as call:
        call.wait_for_scenario()
        assert call.record()["reason"] == "caller_hung_up"


def test_a_caller_that_sends_comfort_noise_alone_is_not_timed_out(timeout_site: MediaTimeoutSite) -> None:
    with timeout_site.call("websocket") as call:
        call.caller.muted = True
        over = time.monotonic() + 2 * TIMEOUT_SECONDS
        for sequence in itertools.count():
            header = struct.pack("!BBHII", 0x80, COMFORT_NOISE, sequence, FRAME_BYTES * sequence, 0xC0)
            call.port.send(header + b"\x40", call.caller.remote)
            if time.monotonic() > over:
                break
            time.sleep(TIMEOUT_SECONDS / 5)
        assert [each["state"] for each in call.project.calls(call.contact.id)] == ["talking"]
        assert_handed_off(timeout_site, "websocket", call)


def test_a_caller_may_be_silent_if_the_project_has_no_media_timeout(timeout_site: MediaTimeoutSite) -> None:
    with timeout_site.call("patient", "media_hold", hold_seconds=TIMEOUT_SECONDS) as call:
        call.caller.muted = True
        wait_for(lambda: acknowledged(call, 3), "the end of the hold")
        call.agent().hang_up()
        call.wait_for_scenario()
        assert call.record()["reason"] == "agent_ended"


def test_a_caller_on_hold_is_not_timed_out(timeout_site: MediaTimeoutSite) -> None:
    with timeout_site.call("websocket", "media_hold", hold_seconds=2 * TIMEOUT_SECONDS) as call:
        wait_for(lambda: acknowledged(call, 2), "the hold")
        call.caller.muted = True
        wait_for(lambda: acknowledged(call, 3), "the end of the hold")
        assert [each["state"] for each in call.project.calls(call.contact.id)] == ["talking"]
        assert_handed_off(timeout_site, "websocket", call)


def acknowledged(call: WebsocketCall, times: int) -> bool:
    """True if the caller has sent this many INVITEs and ACKs."""
    acks = [each for each in call.sipp.messages if each.sent and each.method == "ACK"]
    return any(each.header("CSeq").startswith(f"{times} ") for each in acks)


# ------------------------------------------------------------ joined to a desk


def assert_ends_handed_off(call: WebsocketCall, desk: CalledParty) -> None:
    """Assert that both legs end, and that the handoff is still a success."""
    call.wait_for_scenario()
    desk.sipp.check()
    record = call.record()
    assert (record["ended_by"], record["result"], record["reason"]) == ("bridge", "success", "handed_off")
    handoff = record["handoff"]
    assert (handoff["state"], handoff["transfer"]) == ("handoff_completed", "invite_answered")
    assert len(call.signals()) == 1


@pytest.mark.parametrize("who", ["caller", DESK])
def test_a_joined_call_ends_when_either_leg_falls_silent(timeout_site: MediaTimeoutSite, who: str) -> None:
    with timeout_site.joined(DESK) as (call, desk):
        (call.caller if who == "caller" else desk.audio).muted = True
        assert_ends_handed_off(call, desk)


def test_a_joined_call_ends_after_max_call_seconds(timeout_site: MediaTimeoutSite) -> None:
    with timeout_site.joined("brief") as (call, desk):
        assert_ends_handed_off(call, desk)
