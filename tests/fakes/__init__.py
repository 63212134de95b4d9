"""Hand-written fakes of the Protocols in `calls/ports`. They share a `Journal`, which shows the order of steps."""

from tests.fakes.agent import FakeAgent, FakeConversation
from tests.fakes.audio import FakeAudioStream
from tests.fakes.backpressure import FakeBackpressure
from tests.fakes.call import FakeLiveCall
from tests.fakes.call_journal import FakeCallJournal
from tests.fakes.centre import FakeCentre
from tests.fakes.claims import FakeClaims
from tests.fakes.dialler import FakeDialler, OutgoingInvite
from tests.fakes.journal import Journal
from tests.fakes.leg import FakeLeg
from tests.fakes.observer import RecordingObserver
from tests.fakes.speaker import FakeSpeaker
from tests.fakes.store import FakeStore

__all__ = [
    "FakeAgent",
    "FakeAudioStream",
    "FakeBackpressure",
    "FakeCallJournal",
    "FakeCentre",
    "FakeClaims",
    "FakeConversation",
    "FakeDialler",
    "FakeLeg",
    "FakeLiveCall",
    "FakeSpeaker",
    "FakeStore",
    "Journal",
    "OutgoingInvite",
    "RecordingObserver",
]
