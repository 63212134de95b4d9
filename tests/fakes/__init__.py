"""A hand-written fake for each Protocol of `calls.ports`. They share a `Journal`, so that a test sees the order."""

from fakes.agent import FakeAgent, FakeConversation
from fakes.audio import FakeAudioStream
from fakes.call import FakeLiveCall
from fakes.call_journal import FakeCallJournal
from fakes.centre import FakeCentre
from fakes.journal import Journal
from fakes.leg import FakeDialler, FakeLeg
from fakes.observer import RecordingObserver
from fakes.speaker import FakeSpeaker
from fakes.store import FakeStore

__all__ = [
    "FakeAgent",
    "FakeAudioStream",
    "FakeCallJournal",
    "FakeCentre",
    "FakeConversation",
    "FakeDialler",
    "FakeLeg",
    "FakeLiveCall",
    "FakeSpeaker",
    "FakeStore",
    "Journal",
    "RecordingObserver",
]
