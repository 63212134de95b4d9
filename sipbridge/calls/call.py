"""One call in progress: its record, its leg, and what others may ask of it while it runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Coroutine, Iterable, Mapping
from datetime import UTC, datetime, timedelta

from sipbridge.aio import BackgroundTasks, interrupt_on
from sipbridge.calls.admission import Admitted
from sipbridge.calls.context import CallContext
from sipbridge.calls.endings import HUNG_UP_BY_API, INTERNAL_ERROR, Ending, read_leg_end
from sipbridge.calls.events import AgentFault, CallEvent, StoreFailed
from sipbridge.calls.model import CallRecord, CallState, Identity
from sipbridge.calls.ports import Agent, ContactCentre, Conversation, Leg, Speaker
from sipbridge.config import ClientConfig, ProjectConfig, matches_any
from sipbridge.errors import HandoffConflict, HandoffInvalid, LegGone
from sipbridge.handoffs.destinations import HandoffPlan, make_plan
from sipbridge.handoffs.record import HandoffRecord, HandoffState, Turn
from sipbridge.handoffs.request import HandoffRequest

# A conversation of an hour has a few hundred turns.
MAX_TURNS = 2_000
MAX_TRANSCRIPT_CHARACTERS = 1_000_000
# A store that hangs must keep neither the caller waiting nor the call's place.
STORE_SECONDS = 1.5
# After a refused handoff: an agent that ends the conversation within this time wanted a human and no end.
REFUSED_SECONDS = 10.0
INVALID_HANDOFF = "invalid_handoff"


class Call:
    """Implements `calls.ports.LiveCall`. `session.run_call` lives it; the rest of the world steers it from here."""

    def __init__(self, admitted: Admitted, leg: Leg) -> None:
        identity = admitted.identity
        self.identity: Identity = identity
        self.client_config: ClientConfig = admitted.client_config
        self.project_config: ProjectConfig = admitted.project_config
        self.leg = leg
        # The version under which it was admitted, however many there are since.
        self.context: CallContext = admitted.version
        self.decided: asyncio.Future[HandoffPlan | Ending] = asyncio.get_running_loop().create_future()
        # Done once the bridge drains: what is joined to a destination ends.
        self.drained: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Until it is let go.
        self.conversation: Conversation | None = None
        # The agent, where it still speaks after something was decided.
        self.talking: asyncio.Future[None] | None = None
        # True once CXone may have its Signal.
        self.signalled = False
        # True while the journal has the call and lacks the end of its leg.
        self.leg_end_due = False
        # Nothing cuts it short any more: its record is being closed.
        self.ending = False
        self._background = BackgroundTasks()
        self._characters_said = 0
        # When a handoff was last refused to the agent, in seconds of `time.monotonic`.
        self._refused_at = float("-inf")
        self.record = CallRecord(
            call_id=identity.call_id,
            sip_call_id=identity.sip_call_id,
            client=identity.client,
            project=identity.project,
            contact_id=identity.contact_id,
            main_contact_id=identity.main_contact_id,
            caller=identity.caller,
            dialled=identity.dialled,
            state=CallState.RINGING,
            started_at=now(),
        )
        self.began = time.monotonic()
        self.source_address = admitted.invite.source_address

    @property
    def log_fields(self) -> Mapping[str, str]:
        """Whose call it is, for a log line of its own."""
        record = self.record
        return {
            "call_id": record.call_id,
            "client": record.client,
            "project": record.project,
            "source": self.source_address,
        }

    @property
    def agent(self) -> Agent:
        """The project's agent."""
        return self.context.agents[self.identity.client, self.identity.project]

    @property
    def speaker(self) -> Speaker | None:
        """What turns the project's texts into speech, if anything does."""
        return self.context.speakers.get((self.identity.client, self.identity.project))

    @property
    def centre(self) -> ContactCentre:
        """The client's CXone."""
        return self.context.centres[self.identity.client]

    def moment(self, at: float | None = None) -> datetime:
        """Return a moment of this call, that of `at` (seconds of `time.monotonic`) or the present one.

        Counted from the start: whoever sets the machine's clock in mid-call makes nothing of the call take no time, or
        a year.
        """
        return self.record.started_at + timedelta(seconds=(time.monotonic() if at is None else at) - self.began)

    def emit(self, event: CallEvent) -> None:
        """Pass an event to the observers."""
        self.context.observe(event)

    def note(self, **changes: object) -> None:
        """Change the record."""
        self.record = self.record.model_copy(update=changes)

    def note_handoff(self, **changes: object) -> None:
        """Change the handoff of the record."""
        if self.record.handoff is not None:
            self.note(handoff=self.record.handoff.model_copy(update=changes))

    def leg_ending(self) -> Ending:
        """Return what has ended the call after `LegGone`: the caller's leg, or a command that PJSIP would not send."""
        if not self.leg.ended.done():
            return INTERNAL_ERROR
        return read_leg_end(self.leg.ended.result())

    def while_there(self) -> interrupt_on:
        """`async with call.while_there():` a step that is cut short by `LegGone` when the caller goes."""
        return interrupt_on(self.leg.ended, LegGone("the caller has hung up"))

    async def store(self, *, urgent: bool = True) -> bool:
        """Write the record; false where that failed, for whatever reason, or took too long: no call waits for it."""
        try:
            async with asyncio.timeout(STORE_SECONDS):
                await self.context.store.put(self.record, urgent=urgent)
        except Exception as error:  # noqa: BLE001 (StoreError, TimeoutError, and what a store should have wrapped)
            self.emit(StoreFailed(self.record, str(error) or "the store did not answer in time"))
            return False
        return True

    async def journalled(self, entry: Awaitable[bool]) -> None:
        """Have something journalled; where that fails the call goes on, and only a crash would cost it more."""
        if not await entry:
            self.emit(StoreFailed(self.record, "the call could not be journalled"))

    async def let_agent_go(self) -> None:
        """Let the agent go, and tell it how the handoff went; once or more often."""
        conversation, self.conversation = self.conversation, None
        if conversation is not None:
            await conversation.close(self.record.handoff)

    def in_the_background(self, step: Coroutine[object, object, None]) -> None:
        """Do what nobody waits for now; the call's end does."""
        self._background.start(step)

    async def background_over(self) -> None:
        """Wait for what goes on in the background."""
        await self._background.wait()

    # ------------------------------------------------------------ what others may ask

    def accepts_key(self, candidate: str) -> bool:
        """Whether this is an API key of its project, by the settings that the call began with."""
        return matches_any(self.project_config.api_keys, candidate)

    def check_handoff(self, request: HandoffRequest) -> HandoffPlan:
        """Raise `HandoffConflict` or `HandoffInvalid` where this cannot be. From any thread: it only looks."""
        self._must_be_undecided()
        if self.record.answered_at is None:
            raise HandoffConflict("the call is not answered yet")
        return make_plan(self.project_config.handoff, request)

    def request_handoff(self, request: HandoffRequest, *, requested_by: str) -> CallRecord:
        """Hand off: the first to ask wins. Raises `HandoffConflict` or `HandoffInvalid`."""
        plan = self.check_handoff(request)
        self._add_turns(request.transcript)
        shared_id = request.shared_id or self.record.shared_id
        self.context.registry.share_as(self, shared_id)
        self.note(
            state=CallState.HANDING_OFF,
            handoff=HandoffRecord(
                state=HandoffState.INITIATED,
                shared_id=shared_id,
                destination=plan.destination,
                method=plan.method,
                reason=plan.reason,
                requested_by=requested_by,
                utterance=request.utterance,
                data=request.data,
                handoff_at=self.moment(),
            ),
        )
        self.decided.set_result(plan)
        return self.record

    def drain(self) -> None:
        """Hand off; where a handoff is under way already, see that it ends with the caller away from us."""
        try:
            self.request_handoff(HandoffRequest(reason="draining"), requested_by="bridge")
        except HandoffConflict:
            if not self.drained.done():
                self.drained.set_result(None)

    def request_hangup(self) -> None:
        """End the conversation with no handoff. Raises `HandoffConflict`."""
        self.end(HUNG_UP_BY_API)

    def end(self, ending: Ending) -> None:
        """End the conversation with no handoff, if nothing else was decided before. Raises `HandoffConflict`.

        An agent that does so right after a handoff was refused to it has given up on us: its caller asked for a human,
        and goes to the default destination.
        """
        self._must_be_undecided()
        if ending.by in ("agent", "api") and time.monotonic() - self._refused_at < REFUSED_SECONDS:
            self.request_handoff(HandoffRequest(reason=INVALID_HANDOFF), requested_by="bridge")
        else:
            self.decided.set_result(ending)

    def add_turns(self, turns: Iterable[Turn]) -> None:
        """Add to the transcript. Raises `HandoffInvalid` where it would grow past all use."""
        self._add_turns(tuple(turns))

    def note_fault(self, fault: str, message: str) -> None:
        """Have it counted and logged that the agent sent what cannot be used."""
        self.emit(AgentFault(self.record, self.project_config.agent.type, fault, message))

    def note_refused_handoff(self, fault: str, why: str) -> None:
        """Take note that a handoff was refused to the agent: should it end the conversation now, see `end`."""
        self._refused_at = time.monotonic()
        self.emit(AgentFault(self.record, self.project_config.agent.type, fault, why, why))

    def _add_turns(self, turns: tuple[Turn, ...]) -> None:
        if len(self.record.transcript) + len(turns) > MAX_TURNS:
            raise HandoffInvalid(f"transcript would be over {MAX_TURNS} turns")
        characters = self._characters_said + sum(len(turn.text) for turn in turns)
        if characters > MAX_TRANSCRIPT_CHARACTERS:
            raise HandoffInvalid(f"transcript would be over {MAX_TRANSCRIPT_CHARACTERS} characters")
        self._characters_said = characters
        if turns:
            stamped = tuple(turn if turn.at else turn.model_copy(update={"at": self.moment()}) for turn in turns)
            self.note(transcript=self.record.transcript + stamped)

    def _must_be_undecided(self) -> None:
        if self.leg.ended.done():
            raise HandoffConflict("the call has ended")
        if self.decided.done():
            decided = self.decided.result()
            raise HandoffConflict(
                "the call is being ended" if isinstance(decided, Ending) else "the call is already handed off"
            )


def now() -> datetime:
    """The time, for records."""
    return datetime.now(UTC)
