from __future__ import annotations

from sipbridge.speech.clips import RecentClips


async def test_the_least_recently_used_clip_is_unloaded_first() -> None:
    gone: list[str] = []
    clips = RecentClips(2, 0, gone.append)
    clips.add("a")
    clips.add("b")
    assert clips.use("a")
    clips.add("c")
    assert gone == ["b"]
    assert not clips.use("b")
    clips.add("d")
    assert gone == ["b", "a"]


async def test_a_clip_that_may_still_be_played_is_kept() -> None:
    gone: list[str] = []
    clips = RecentClips(1, 60, gone.append)
    for name in ("a", "b", "c"):
        clips.add(name)
    assert gone == []
    assert all(clips.use(name) for name in ("a", "b", "c"))
