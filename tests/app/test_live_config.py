"""The configuration versions: what a reload builds, and what is freed."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from sipbridge.app.live_config import LiveConfig
from sipbridge.calls.admission import Admission
from sipbridge.calls.context import CallContext
from sipbridge.calls.registry import CallRegistry
from sipbridge.chats.context import ChannelKey, ChatContext
from sipbridge.chats.registry import ChatRegistry
from sipbridge.config import ChatChannelConfig, ChatConfig, Config, TlsConfig
from sipbridge.cxone import CxoneClient
from sipbridge.dns import Resolver
from sipbridge.errors import ConfigError, StartupError
from sipbridge.http import HttpClient
from sipbridge.sip.tls_files import TlsFileCopies
from sipbridge.sip.user_agent import UserAgent
from sipbridge.wav import Pcm
from tests.calls.world import admit, make_config, make_invite, pop_url
from tests.fakes import FakeStore, Journal, RecordingObserver
from tests.fakes.chat_store import FakeChatStore
from tests.fakes.digital_channel import FakeChannel


class FakeUserAgent:
    """The user agent as versions use it: clips and certificates."""

    def __init__(self) -> None:
        self.clips: dict[str, Pcm] = {}
        self.looped: set[str] = set()
        self.certificates = 0
        self.refusing: Exception | None = None

    async def load_clip(self, name: str, pcm: Pcm, *, looped: bool = False) -> None:
        await asyncio.sleep(0)
        self.clips[name] = pcm
        if looped:
            self.looped.add(name)

    def drop_clip(self, name: str) -> None:
        del self.clips[name]

    async def read_certificates(self, _: TlsConfig) -> TlsFileCopies:
        await asyncio.sleep(0)
        if self.refusing:
            raise self.refusing
        return TlsFileCopies()

    async def use_certificates(self, _: TlsFileCopies) -> None:
        self.certificates += 1

    def samples(self) -> set[bytes]:
        return {pcm.samples[:2] for pcm in self.clips.values()}


class Bridge:
    """The configuration versions of a bridge that plays `greeting.wav`."""

    def __init__(self, folder: Path, **project: Any) -> None:  # noqa: ANN401 (keys of a project)
        self.wav = folder / "greeting.wav"
        self.record(1)
        self.user_agent = FakeUserAgent()
        self.admission = Admission(self.config(**project))
        nothing: Any = None
        start = CallContext(
            config=self.config(**project),
            agents={},
            speakers={},
            centres={},
            store=FakeStore(Journal()),
            journal=nothing,
            dialler=nothing,
            observe=RecordingObserver(),
            registry=CallRegistry(),
            admission=self.admission,
            pop_url=pop_url,
        )
        chats = ChatContext(start.config, {}, FakeChatStore(), nothing, lambda _: None, ChatRegistry(), lambda _: "")
        self.made_channels: list[ChannelKey] = []
        self.versions = LiveConfig(
            start,
            chats,
            cast("UserAgent", self.user_agent),
            cast("HttpClient", None),
            cast("Resolver", None),
            self.make_channel,
        )

    def make_channel(
        self, _centres: Mapping[str, CxoneClient], key: ChannelKey, _chat: ChatConfig, _settings: ChatChannelConfig
    ) -> FakeChannel:
        self.made_channels.append(key)
        return FakeChannel()

    def config(self, **project: Any) -> Config:  # noqa: ANN401 (keys of a project)
        return make_config(agent={"type": "prompt", "audio": str(self.wav)}, **project)

    def record(self, level: int) -> None:
        """Record another greeting."""
        sample = level.to_bytes(2, "little")
        data = sample * 80
        header = (
            b"RIFF"
            + (36 + len(data)).to_bytes(4, "little")
            + b"WAVEfmt \x10\0\0\0\1\0\1\0@\x1f\0\0\x80>\0\0\2\0\x10\0data"
        )
        self.wav.write_bytes(header + len(data).to_bytes(4, "little") + data)

    def admit(self) -> tuple[CallContext, str]:
        admitted = admit(self.admission, make_invite())
        return admitted.version, admitted.identity.call_id


@pytest.fixture
async def bridge(tmp_path: Path) -> Bridge:
    bridge = Bridge(tmp_path)
    await bridge.versions.load()
    return bridge


async def test_the_first_version_has_every_part_once_it_is_loaded(tmp_path: Path) -> None:
    bridge = Bridge(tmp_path)
    assert bridge.admission.active == 0
    await bridge.versions.load()
    version, _ = bridge.admit()
    assert version is bridge.versions.latest
    assert set(version.agents) == {("acme", "billing")}
    assert set(version.centres) == {"acme"}
    assert len(bridge.user_agent.clips) == 1


async def test_a_call_keeps_its_version_across_any_number_of_reloads(bridge: Bridge) -> None:
    version, call_id = bridge.admit()
    for level in range(2, 6):
        bridge.record(level)
        await bridge.versions.reload(bridge.config(max_call_seconds=level))
        await bridge.versions.free_unused()
    assert bridge.admission.versions_in_use() == {version}
    assert bridge.user_agent.samples() == {b"\1\0", b"\5\0"}, "the clip of the call, and the latest"
    bridge.admission.release(call_id)
    assert await bridge.versions.free_unused()
    assert bridge.user_agent.samples() == {b"\5\0"}
    assert not await bridge.versions.free_unused()


async def test_a_reload_keeps_the_recording_of_a_version_that_goes_out_of_use_meanwhile(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, call_id = bridge.admit()
    bridge.record(2)
    await bridge.versions.reload(bridge.config(max_call_seconds=2))

    async def end_the_call(_: TlsFileCopies) -> None:
        bridge.admission.release(call_id)
        assert not await bridge.versions.free_unused()

    bridge.record(1)
    monkeypatch.setattr(bridge.user_agent, "use_certificates", end_the_call)
    await bridge.versions.reload(bridge.config(max_call_seconds=3))
    assert await bridge.versions.free_unused()
    assert bridge.user_agent.samples() == {b"\1\0"}


async def test_a_recording_that_is_played_both_ways_is_loaded_once_for_each(bridge: Bridge) -> None:
    await bridge.versions.reload(bridge.config(handoff={"hold_audio": str(bridge.wav)}))
    await bridge.versions.free_unused()
    version, _ = bridge.admit()
    hold_clip = version.hold_clips["acme", "billing"]
    assert bridge.user_agent.looped == {hold_clip}
    assert len(bridge.user_agent.clips) == 2
    await bridge.versions.reload(bridge.config())
    assert dict(bridge.versions.latest.hold_clips) == {}


async def test_versions_share_the_clip_of_an_unchanged_recording(bridge: Bridge) -> None:
    bridge.admit()
    before = dict(bridge.user_agent.clips)
    await bridge.versions.reload(bridge.config(max_call_seconds=7))
    await bridge.versions.free_unused()
    assert bridge.user_agent.clips == before


@pytest.mark.parametrize("fault", ["recording", "authorities", "certificates"])
async def test_a_refused_reload_changes_nothing(bridge: Bridge, tmp_path: Path, fault: str) -> None:
    before, clips = bridge.versions.latest, dict(bridge.user_agent.clips)
    bridge.record(2)
    config = bridge.config(max_call_seconds=7)
    if fault == "recording":
        bridge.wav.write_bytes(b"no WAV")
    elif fault == "authorities":
        (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        config = _with_project(config, _websocket(tmp_path / "ca.pem"))
    else:
        bridge.user_agent.refusing = ConfigError(["sip.tls.certificate_file: cannot be read"])
    with pytest.raises((StartupError, ConfigError)):
        await bridge.versions.reload(config)
    assert bridge.versions.latest is before
    assert bridge.user_agent.clips == clips
    assert bridge.user_agent.certificates == 0
    assert bridge.admit()[0] is before


def _with_project(config: Config, project: Mapping[str, Any]) -> Config:
    """Add a project whose agent is built after those with recordings."""
    other = make_config(auth_token="another", **project).clients["acme"].voice_projects["billing"]
    acme = config.clients["acme"]
    client = acme.model_copy(update={"projects": {**acme.projects, "other": other}})
    return config.model_copy(update={"clients": {"acme": client}})


def _websocket(ca_file: Path) -> Mapping[str, Any]:
    return {"agent": {"type": "websocket", "url": "wss://127.0.0.1:1/", "ca_file": str(ca_file)}}


async def test_a_cxone_client_is_closed_when_no_version_uses_it(bridge: Bridge) -> None:
    version, call_id = bridge.admit()
    closed: list[str] = []

    async def close() -> None:
        closed.append("centre")

    version.centres["acme"].close = close  # type: ignore[method-assign]
    changed = bridge.config()
    acme = changed.clients["acme"]
    cxone = acme.cxone.model_copy(update={"business_unit": "7"})
    await bridge.versions.reload(
        changed.model_copy(update={"clients": {"acme": acme.model_copy(update={"cxone": cxone})}})
    )
    assert bridge.versions.latest.centres["acme"] is not version.centres["acme"]
    await bridge.versions.free_unused()
    assert closed == []
    bridge.admission.release(call_id)
    await bridge.versions.free_unused()
    assert closed == ["centre"]


async def test_a_speaker_is_closed_with_its_last_version(tmp_path: Path) -> None:
    bridge = Bridge(tmp_path, tts_command=["true"])
    await bridge.versions.load()
    speaker = bridge.versions.latest.speakers["acme", "billing"]
    closed: list[str] = []
    speaker.close = lambda: closed.append("speaker")  # type: ignore[method-assign]
    await bridge.versions.reload(bridge.config(tts_command=["true"], max_call_seconds=7))
    assert bridge.versions.latest.speakers["acme", "billing"] is speaker
    await bridge.versions.free_unused()
    assert closed == []
    await bridge.versions.reload(bridge.config())
    await bridge.versions.free_unused()
    assert closed == ["speaker"]


async def test_a_version_in_use_by_other_work_than_a_call_is_not_freed(bridge: Bridge) -> None:
    with bridge.versions.in_use() as version:
        await bridge.versions.reload(bridge.config(max_call_seconds=7))
        assert await bridge.versions.free_unused(), "the version of the start, which has no parts"
        assert not await bridge.versions.free_unused()
        assert bridge.versions.latest is not version
    assert await bridge.versions.free_unused()


async def test_projects_are_those_of_all_versions_in_memory(bridge: Bridge, tmp_path: Path) -> None:
    _, call_id = bridge.admit()
    (tmp_path / "ca.pem").touch()
    await bridge.versions.reload(_with_project(bridge.config(), {"agent": {"type": "prompt"}}))
    assert bridge.versions.projects == {("acme", "billing"), ("acme", "other")}
    await bridge.versions.reload(bridge.config())
    await bridge.versions.free_unused()
    assert bridge.versions.projects == {("acme", "billing")}
    bridge.admission.release(call_id)


async def test_versions_in_reference_cycles_do_not_accumulate(bridge: Bridge) -> None:
    gc.disable()
    try:
        made: list[weakref.ref[CallContext]] = []
        for seconds in range(2, 40):
            await bridge.versions.reload(bridge.config(max_call_seconds=seconds))
            cycle: list[object] = [bridge.versions.latest]
            cycle.append(cycle)
            made.append(weakref.ref(bridge.versions.latest))
            await bridge.versions.free_unused()
        assert sum(each() is not None for each in made) < 15
    finally:
        gc.enable()
