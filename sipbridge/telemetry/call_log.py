"""The call log: one line per call, per rejected INVITE and per failure; everything else at debug level.

Lines at info and above have ids, fixed words and times only: no phone number, parameter, data, utterance, transcript
or secret.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from sipbridge.calls.events import (
    AgentFault,
    CallEnded,
    CallEvent,
    CallRecovered,
    ConfigRead,
    ContactShared,
    DrainChanged,
    InviteAnswered,
    SignalWithheld,
    StoreFailed,
    TakeBackDone,
    TokenRequested,
)
from sipbridge.calls.model import CallRecord
from sipbridge.calls.ports.observer import Observer, SelectiveObserver
from sipbridge.handoffs.outcome import Result
from sipbridge.handoffs.record import HandoffRecord
from sipbridge.log_sampling import BurstLimit

logger = logging.getLogger("sipbridge.call")

MAX_FOREIGN_CHARACTERS = 128  # of a text that the sender of an INVITE, or an agent, has chosen


def call_logs() -> list[Observer]:
    """Return the call log, and at debug level what logs every event. The level is that at the start."""
    return [CallLog(), log_event] if logger.isEnabledFor(logging.DEBUG) else [CallLog()]


class CallLog(SelectiveObserver):
    """An `Observer` that logs. It is called on the event loop.

    Lines that a flood or a failing store would repeat are limited to `lines` in `window_seconds` per reason, client and
    project. INVITEs that were rejected before their client was known share one limit per reason.
    """

    def __init__(self, *, lines: int = 20, window_seconds: float = 1.0) -> None:
        self._limit = BurstLimit(logger, lines, window_seconds)
        super().__init__(
            {
                InviteAnswered: self._invite_answered,
                AgentFault: self._agent_fault,
                ContactShared: self._contact_shared,
                SignalWithheld: self._signal_withheld,
                TakeBackDone: self._take_back_done,
                CallEnded: self._call_ended,
                CallRecovered: self._call_recovered,
                TokenRequested: self._token_requested,
                StoreFailed: self._store_failed,
                ConfigRead: self._config_read,
                DrainChanged: self._drain_changed,
            }
        )

    def _allows(self, kind: str, record: CallRecord) -> bool:
        return self._limit.allows(kind, client=record.client, project=record.project)

    def _invite_answered(self, event: InviteAnswered) -> None:
        if event.sip_status < 300 or not self._limit.allows(  # noqa: PLR2004 (RFC 3261, 21)
            f"invite refused: {event.reason}", client=event.client, project=event.project
        ):
            return
        fields = {
            "event": "invite_refused",
            "code": event.sip_status,
            "reason": event.reason,
            "sip_call_id": event.sip_call_id[:MAX_FOREIGN_CHARACTERS],
            "source": event.source_address,
            "call_id": event.call_id,
            "client": event.client,
            "project": event.project,
        }
        logger.info("invite refused", extra=fields)

    def _agent_fault(self, event: AgentFault) -> None:
        # Without its message, which may quote what the agent sent and is logged at debug level only.
        if self._allows(f"agent fault: {event.fault}", event.record):
            fields = {"event": "agent_fault", "agent_type": event.agent_type, "fault": event.fault}
            if event.reason:
                fields["reason"] = event.reason
            logger.warning("agent fault", extra=_ids(event.record) | fields)

    def _contact_shared(self, event: ContactShared) -> None:
        if self._allows("contact shared", event.record):
            logger.warning("contact has another live call", extra=_ids(event.record) | {"event": "contact_shared"})

    def _signal_withheld(self, event: SignalWithheld) -> None:
        if self._allows("signal withheld", event.record):
            fields = {"event": "signal_withheld", "purpose": event.purpose}
            logger.warning("Signal withheld: the contact has been signalled", extra=_ids(event.record) | fields)

    def _take_back_done(self, event: TakeBackDone) -> None:
        fields = _ids(event.record) | {"event": "take_back", "result": event.outcome.result.value}
        fields |= {"reason": event.outcome.reason, "waited_ms": round(event.seconds * 1000)}
        logger.info("CXone has not taken the caller", extra=fields)

    def _call_ended(self, event: CallEnded) -> None:
        record = event.record
        fields = _ids(record)
        fields["event"] = "call_ended"
        fields["result"] = event.outcome.result.value
        fields["reason"] = event.outcome.reason
        fields["ended_by"] = record.ended_by
        fields["duration_ms"] = round(event.duration_seconds * 1000)
        fields["setup_ms"] = _milliseconds(record.started_at, record.answered_at)
        fields["turns"] = len(record.transcript)
        if record.handoff:
            fields |= _handoff(record.handoff)
        logger.info("call ended", extra=fields)

    def _call_recovered(self, event: CallRecovered) -> None:
        fields = _ids(event.record) | {"event": "call_recovered", "result": event.outcome.result.value}
        fields["reason"] = event.outcome.reason
        if event.record.handoff:
            fields |= _handoff(event.record.handoff)
        logger.warning("call recovered", extra=fields)

    def _token_requested(self, event: TokenRequested) -> None:
        fields = {"event": "token_requested", "client": event.client, "result": event.result.value}
        if event.result is Result.SUCCESS:
            logger.info("access token from CXone", extra=fields)
        elif self._limit.allows("no access token", client=event.client):
            logger.warning("no access token from CXone", extra=fields)

    def _store_failed(self, event: StoreFailed) -> None:
        if self._allows("store failed", event.record):
            fields = _ids(event.record) | {"event": "store_failed", "detail": event.message}
            logger.warning("record not stored", extra=fields)

    def _config_read(self, event: ConfigRead) -> None:
        # The errors of a configuration that is not valid are logged where it is read.
        if event.outcome.result is Result.SUCCESS:
            logger.info("configuration reloaded", extra={"event": "config_read"})

    def _drain_changed(self, event: DrainChanged) -> None:
        fields: dict[str, Any] = {"event": "drain_changed", "draining": event.draining}
        if not event.draining:
            logger.info("drained", extra=fields)
            return
        fields |= {"calls": event.calls, "wait_seconds": event.wait_seconds}
        text = "draining: no new calls, and none in progress"
        if event.calls:
            text = (
                f"draining: no new calls; {event.calls} in progress, handed off after {event.wait_seconds:g} s; "
                "a second SIGINT (Ctrl-C) or SIGTERM ends them at once"
            )
        logger.info(text, extra=fields)


def log_event(event: CallEvent, /) -> None:
    """Log an event with its details, at debug level."""
    record: CallRecord | None = getattr(event, "record", None)
    outcome = getattr(event, "outcome", None)
    fields = _ids(record) if record else {}
    fields["event"] = type(event).__name__
    for name in ("agent_type", "fault", "stage", "purpose", "method", "sip_status", "seconds", "setup_seconds"):
        if hasattr(event, name):
            fields[name] = getattr(event, name)
    if isinstance(event, AgentFault):
        fields["detail"] = event.message[:MAX_FOREIGN_CHARACTERS]
    if outcome:
        fields |= {"result": outcome.result.value, "reason": outcome.reason}
    logger.debug("call event", extra=fields)


def _ids(record: CallRecord) -> dict[str, Any]:
    return {
        "call_id": record.call_id,
        "sip_call_id": record.sip_call_id[:MAX_FOREIGN_CHARACTERS],
        "client": record.client,
        "project": record.project,
        "contact_id": record.contact_id,
    }


def _handoff(handoff: HandoffRecord) -> dict[str, Any]:
    return {
        "handoff_state": handoff.state.value,
        "handoff_destination": handoff.destination,
        "handoff_method": handoff.method,
        "handoff_by": handoff.requested_by,
        "handoff_ms": _milliseconds(handoff.handoff_at, handoff.finished_at),
        "signal": handoff.signal,
        "transfer": handoff.transfer,
        "confirmed": handoff.confirmed,
    }


def _milliseconds(start: datetime, end: datetime | None) -> int | None:
    return round((end - start).total_seconds() * 1000) if end else None
