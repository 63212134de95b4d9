"""Faults of the socket: of connections, of the client's events, and of the frames to the client."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

NonEmpty = Annotated[str, Field(min_length=1)]
On = Literal["connect", "event", "frame"]

_EFFECTS: dict[On, frozenset[str]] = {
    "connect": frozenset({"status", "reset", "latency_seconds", "close_after_seconds"}),
    "event": frozenset({"drop", "error", "no_ack", "latency_seconds"}),
    "frame": frozenset(
        {"lose", "duplicates", "swap", "in_s3", "truncate", "remove", "replace", "raw", "latency_seconds"}
    ),
}


class GatewayFault(BaseModel):
    """A fault of the next `times` connections, events or frames that match; `times: null` lasts until it is deleted.

    `type` is the event of the client (`SendMessage`), or of the frame to it (`MessageCreated`, `ThreadRecovered`,
    `Error`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    on: On
    type: NonEmpty | None = None
    customer: NonEmpty | None = None
    channel: NonEmpty | None = None
    thread: NonEmpty | None = None  # events and pushes of a thread only
    times: Annotated[int, Field(ge=1)] | None = 1

    latency_seconds: Annotated[float, Field(ge=0, le=3600)] = 0  # an event: of its reply only
    # connect
    status: Annotated[int, Field(ge=400, le=599)] | None = None  # instead of the upgrade
    reset: bool = False
    close_after_seconds: Annotated[float, Field(ge=0, le=86400)] | None = None
    # event
    drop: Literal["before_record", "before_ack", "after_ack"] | None = None
    error: NonEmpty | None = None  # the code of an error frame, instead of processing the event
    no_ack: bool = False  # processed, but without its reply
    # frame
    lose: bool = False
    duplicates: Annotated[int, Field(ge=0, le=100)] = 0
    swap: bool = False  # sent after the next frame
    in_s3: bool = False
    truncate: bool = False  # hasAdditionalMessageContent: the text is cut, and the rest is at the REST API
    remove: tuple[NonEmpty, ...] = ()  # paths such as data.message.hasAdditionalMessageContent
    replace: dict[NonEmpty, Any] = {}  # values by path
    raw: str | None = None  # this text instead of the frame

    @model_validator(mode="after")
    def _check_effects(self) -> Self:
        given = {name for name in self.model_fields_set if getattr(self, name) not in (None, False)}
        effects = given & frozenset[str]().union(*_EFFECTS.values())
        if not effects:
            raise ValueError(f"has no effect; set one of {', '.join(sorted(_EFFECTS[self.on]))}")
        if wrong := sorted(effects - _EFFECTS[self.on]):
            raise ValueError(f"{', '.join(wrong)} does not apply to {self.on}")
        return self

    def matches(self, on: On, kind: str, channel: str, customer: str, thread: str | None) -> bool:
        """True if the fault is for this."""
        return (
            self.on == on
            and self.type in (None, kind)
            and self.channel in (None, channel)
            and self.customer in (None, customer)
            and self.thread in (None, thread)
        )


class GatewayFaults:
    """The queued faults. The first that matches applies."""

    def __init__(self) -> None:
        self.queued: list[GatewayFault] = []

    def take(
        self, on: On, *, kind: str = "", channel: str = "", customer: str = "", thread: str | None = None
    ) -> GatewayFault | None:
        """Return the fault that applies, if any, and reduce its remaining times by one."""
        for index, fault in enumerate(self.queued):
            if fault.matches(on, kind, channel, customer, thread):
                if fault.times == 1:
                    del self.queued[index]
                elif fault.times is not None:
                    self.queued[index] = fault.model_copy(update={"times": fault.times - 1})
                return fault
        return None


def edit(frame: dict[str, Any], fault: GatewayFault) -> None:
    """Remove and replace fields of a frame. A path that does not exist is left out."""
    for path in fault.remove:
        holder, name = _holder(frame, path)
        if holder is not None:
            holder.pop(name, None)
    for path, value in fault.replace.items():
        holder, name = _holder(frame, path)
        if holder is not None:
            holder[name] = value


def _holder(frame: dict[str, Any], path: str) -> tuple[dict[str, Any] | None, str]:
    *parents, name = path.split(".")
    holder: Any = frame
    for parent in parents:
        holder = holder.get(parent) if isinstance(holder, dict) else None
    return (holder if isinstance(holder, dict) else None), name
