"""One call in progress: its record, its leg, and the commands that agents and the API may send it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from sipbridge.aio import BackgroundTasks, cancel_and_wait, interrupt_on
from sipbridge.calls.admission import Admitted
from sipbridge.calls.context import CallContext
from sipbridge.calls.endings import HUNG_UP_BY_API, INTERNAL_ERROR, TAKEN_OVER, Ending, read_leg_end
from sipbridge.calls.events import AgentFault, CallEvent, StoreFailed, TurnsAdded
from sipbridge.calls.hold_audio import HoldAudio
from sipbridge.calls.model import CallRecord, CallState, Identity
from sipbridge.calls.outcomes import HandoffReason
from sipbridge.calls.ports.agents import Agent, Conversation
from sipbridge.calls.ports.cxone import ContactCentre
from sipbridge.calls.ports.sip import Leg
from sipbridge.calls.ports.speech import Speaker
from sipbridge.calls.transcript import Transcript
from sipbridge.config import ClientConfig, VoiceProjectConfig, matches_any
from sipbridge.errors import CallTakenOver, HandoffConflict, LegEnded
from sipbridge.handoffs.destinations import HandoffPlan, make_plan
from sipbridge.handoffs.lifecycle import start_handoff
from sipbridge.handoffs.record import Turn
from sipbridge.handoffs.request import HandoffRequest

logger = logging.getLogger(__name__)

# A store that hangs must delay neither the caller nor the release of the call's slot.
STORE_SECONDS = 1.5
# An agent that ends the conversation this soon after a refused handoff wanted a human agent for its caller.
REFUSED_SECONDS = 10.0


class Call:
    """Implements `calls.registry.RegisteredCall`. `session.run_call` runs it; agents and the API send it commands."""

    def __init__(self, admitted: Admitted, leg: Leg) -> None:
        identity = admitted.identity
        self.identity: Identity = identity
        self.client_config: ClientConfig = admitted.client_config
        self.project_config: VoiceProjectConfig = admitted.project_config
        self.source_address = admitted.invite.source_address
        self.leg = leg
        # The version under which the call was admitted. Reloads do not change it.
        self.context: CallContext = admitted.version
        # The end of the conversation: a handoff or not. Set once, by the first request; after a take-back it is another
        # future.
        self.decided: asyncio.Future[HandoffPlan | Ending] = asyncio.get_running_loop().create_future()
        # Done once the bridge drains: a caller who is joined to a destination must leave it.
        self.drained: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # The conversation with the agent, until the agent is released.
        self.conversation: Conversation | None = None
        # The agent's task, if the agent still speaks after the end of the conversation was decided, or is kept.
        self.talking: asyncio.Future[None] | None = None
        # True while the agent is muted and may get its caller back.
        self.keeps_agent = False
        # What the caller hears between the agent and the human agent.
        self.hold_audio = HoldAudio(leg)
        # True once CXone may have the Signal.
        self.signalled = False
        # True while the journal has the call but not the end of its leg.
        self.leg_end_due = False
        # True once the caller's BYE has come and waits for the journal. Set on the SIP thread.
        self.bye_held = False
        # True once another node has put a record of the call, which stands.
        self.superseded = False
        # True once the record is being closed, which nothing may interrupt.
        self.ending = False
        # Steps that only the end of the call waits for.
        self.background = BackgroundTasks()
        self.began_at = time.monotonic()
        # When the conversation has to end, in seconds of the loop's clock. Known once it begins.
        self.time_limit = float("inf")
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
        self._transcript = Transcript()
        # When a handoff was last refused to the agent, in seconds of `time.monotonic`.
        self._refused_at = float("-inf")

    @property
    def log_fields(self) -> Mapping[str, str]:
        """The fields that identify the call in a log line."""
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
        """The project's speech synthesis; None if it has none."""
        return self.context.speakers.get((self.identity.client, self.identity.project))

    @property
    def hold_clip(self) -> str | None:
        """The looped clip that callers of the project hear on hold; None if it has none."""
        return self.context.hold_clips.get((self.identity.client, self.identity.project))

    @property
    def centre(self) -> ContactCentre:
        """The client's CXone."""
        return self.context.centres[self.identity.client]

    def emit(self, event: CallEvent) -> None:
        """Pass an event to the observers."""
        self.context.observe(event)

    def timestamp(self, at: float | None = None) -> datetime:
        """Return the time of `at` (seconds of `time.monotonic`), or the present time.

        It is counted from the start of the call, so that a change of the machine's clock changes no duration.
        """
        return self.record.started_at + timedelta(seconds=(time.monotonic() if at is None else at) - self.began_at)

    def update(self, **changes: object) -> None:
        """Change fields of the record."""
        self.record = self.record.changed(**changes)

    def update_handoff(self, **changes: object) -> None:
        """Change fields of the record's handoff, if there is one."""
        if self.record.handoff is not None:
            self.update(handoff=self.record.handoff.changed(**changes))

    def interruption(self) -> Ending:
        """Return how the call ends after `LegEnded`: the leg has ended, or PJSIP did not send a command."""
        if not self.leg.ended.done():
            return INTERNAL_ERROR
        return read_leg_end(self.leg.ended.result())

    def unless_ended(self, *, or_decided: bool = False, timeout: float | None = None) -> interrupt_on:
        """`async with call.unless_ended():` interrupts its body with `LegEnded` when the caller's leg ends.

        With `or_decided` it also does so when the end of the conversation is decided. After `timeout` seconds it does
        so with `TimeoutError`.
        """
        also = self.decided if or_decided else None
        return interrupt_on(self.leg.ended, LegEnded("the call has ended"), also=also, timeout=timeout)

    async def store(self, *, urgent: bool = True) -> bool:
        """Write the record; return False if that failed or took too long, as no call waits for its store.

        If another node has taken the call over, its record stands, and there is nothing to write.
        """
        try:
            async with asyncio.timeout(STORE_SECONDS):
                await self.context.store.put(self.record, urgent=urgent)
        except CallTakenOver as error:
            self.superseded = True
            logger.warning("%s", error, extra={"event": "call_taken_over", **self.log_fields})
        except Exception as error:  # noqa: BLE001 (StoreError, TimeoutError, and what a store should have wrapped)
            self._report_store_failure(error)
            return False
        return True

    def store_later(self) -> bool:
        """Let the record be found from now on, and be written within a moment; return False if the store fails."""
        try:
            self.context.store.put_later(self.record)
        except Exception as error:  # noqa: BLE001 (as above)
            self._report_store_failure(error)
            return False
        return True

    def _report_store_failure(self, error: Exception) -> None:
        self.emit(StoreFailed(self.record, str(error) or "the store took too long"))

    async def release_agent(self) -> None:
        """Close the conversation and notify the agent of the handoff's outcome. May be called more than once."""
        conversation, self.conversation = self.conversation, None
        talking, self.talking = self.talking, None
        if talking is not None:
            await cancel_and_wait(talking)
        if conversation is not None:
            await conversation.close(self.record.handoff)

    # ------------------------------------------------------------ commands of agents and the API

    def accepts_key(self, candidate: str) -> bool:
        """True if this is an API key of the project, by the configuration version of the call."""
        return matches_any(self.project_config.api_keys, candidate)

    def check_handoff(self, request: HandoffRequest) -> HandoffPlan:
        """Return the plan. Raises `HandoffConflict` or `HandoffInvalid`. Changes nothing; may run on any thread."""
        self._check_undecided()
        if self.record.answered_at is None:
            raise HandoffConflict("the call is not answered yet")
        return make_plan(self.project_config.handoff, request)

    def request_handoff(self, request: HandoffRequest, *, requested_by: str) -> CallRecord:
        """Hand off. The first request wins. Raises `HandoffConflict` or `HandoffInvalid`."""
        plan = self.check_handoff(request)
        if request.transcript:
            self.add_turns(request.transcript)
        shared_id = request.shared_id or self.record.shared_id
        self.context.registry.share_as(self, shared_id)
        handoff = start_handoff(
            plan,
            shared_id=shared_id,
            requested_by=requested_by,
            at=self.timestamp(),
            utterance=request.utterance,
            data=request.data,
            earlier=self.record.handoff,
        )
        self.update(state=CallState.HANDING_OFF, handoff=handoff, earlier_handoff=self.record.handoff)
        self.decided.set_result(plan)
        return self.record

    def drain(self) -> None:
        """Hand off; if a handoff is in progress, make sure that the call ends with it."""
        try:
            self.request_handoff(HandoffRequest(reason=HandoffReason.DRAINING), requested_by="bridge")
        except HandoffConflict:
            if not self.drained.done():
                self.drained.set_result(None)

    def yield_to_rescuer(self) -> None:
        """End the call, as another node has signalled its contact, or will."""
        with suppress(HandoffConflict):
            self.end(TAKEN_OVER)
        if not self.drained.done():
            self.drained.set_result(None)

    def request_hangup(self) -> None:
        """End the conversation without a handoff. Raises `HandoffConflict`."""
        self.end(HUNG_UP_BY_API)

    def end(self, ending: Ending) -> None:
        """End the conversation without a handoff. Raises `HandoffConflict` if its end is decided already.

        An agent that does so right after a refused handoff wanted a human agent: its caller goes to the default
        destination.
        """
        self._check_undecided()
        if ending.by in ("agent", "api") and time.monotonic() - self._refused_at < REFUSED_SECONDS:
            self.request_handoff(HandoffRequest(reason=HandoffReason.INVALID_HANDOFF), requested_by="bridge")
        else:
            self.decided.set_result(ending)

    def add_turns(self, turns: Iterable[Turn]) -> None:
        """Append to the transcript. Raises `HandoffInvalid` if it would be too long."""
        self._transcript.add(turns, self.timestamp())
        if added := self._transcript.turns[len(self.record.transcript) :]:
            self.update(transcript=self._transcript.turns)
            self.context.journal.add_turns(self.record.call_id, added)
            self.emit(TurnsAdded(self.record))

    def note_fault(self, fault: str, message: str) -> None:
        """Count and log a message of the agent that is not valid."""
        self.emit(AgentFault(self.record, self.project_config.agent.type, fault, message))

    def note_refused_handoff(self, fault: str, why: str) -> None:
        """Count and log a handoff that was refused to the agent; `end` says what follows from it."""
        self._refused_at = time.monotonic()
        self.emit(AgentFault(self.record, self.project_config.agent.type, fault, why, why))

    def _check_undecided(self) -> None:
        if self.leg.ended.done():
            raise HandoffConflict("the call has ended")
        if self.decided.done():
            decided = self.decided.result()
            raise HandoffConflict(
                "the call is being ended" if isinstance(decided, Ending) else "the call is already handed off"
            )


def now() -> datetime:
    """Return the present time in UTC."""
    return datetime.now(UTC)
