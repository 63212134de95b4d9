"""What a handoff will do: the agent's wish, checked against what the project allows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from sipbridge.calls.handoff_request import HandoffRequest
from sipbridge.calls.model import CallRecord
from sipbridge.calls.outgoing import credentials_of
from sipbridge.calls.ports import Credentials
from sipbridge.calls.routes import route_allowed
from sipbridge.config import (
    Destination,
    HandoffConfig,
    InviteDestination,
    ParameterName,
    ReferDestination,
    check_called,
    same_host,
    split_srtp,
)
from sipbridge.errors import HandoffInvalid

_NUMBER = re.compile(r"\+?[0-9*#]{1,32}")
_DEFAULT_ANSWER_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class HandoffPlan:
    """A handoff that can be carried out. `uri` is empty for `release`."""

    destination: str
    skill: str
    reason: str
    method: Literal["release", "refer", "invite"]
    uri: str
    headers: Mapping[str, str]
    signal: bool
    answer_timeout_seconds: float
    request: HandoffRequest
    credentials: Credentials | None = None
    sources: tuple[str, ...] = ()


def make_plan(config: HandoffConfig, request: HandoffRequest) -> HandoffPlan:
    """Check a wish against the project's destinations and routes. Raises `HandoffInvalid` with what is wrong."""
    name = request.destination or config.default
    destination = config.destinations.get(name)
    if destination is None:
        raise HandoffInvalid(f"destination is not defined; defined are {', '.join(sorted(config.destinations))}")
    uri, headers, answer_timeout = "", {}, _DEFAULT_ANSWER_SECONDS
    if isinstance(destination, ReferDestination | InviteDestination):
        uri, headers = destination.uri, dict(destination.headers)
    if isinstance(destination, InviteDestination):
        answer_timeout = destination.answer_timeout_seconds
    method = request.method or destination.method
    if request.route:
        uri = _routed(request.route, uri, config)
        method = "refer" if method == "release" else method
    if method != "release" and not uri:
        raise HandoffInvalid(f"{method} needs a URI: the destination has none, so give a route")
    _check_uri(method, uri)
    own = _called(destination, uri)
    return HandoffPlan(
        destination=name,
        skill=destination.skill,
        reason=request.reason or name,
        method=method,
        uri="" if method == "release" else uri,
        headers=_merged(headers, request.sip_headers),
        signal=destination.signal,
        answer_timeout_seconds=answer_timeout,
        request=request,
        credentials=credentials_of(own) if own else None,
        sources=tuple(map(str, own.trusted_sources)) if own else (),
    )


def _called(destination: Destination, uri: str) -> InviteDestination | None:
    """Return the destination if its own host is called: a route may name another."""
    if not isinstance(destination, InviteDestination) or not same_host(uri, destination.uri):
        return None
    return destination


def _merged(configured: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Let the agent's own headers win, in whatever case either is written."""
    taken = {name.lower() for name in own}
    return {**{name: value for name, value in configured.items() if name.lower() not in taken}, **own}


def _routed(route: str, uri: str, config: HandoffConfig) -> str:
    """A route as a URI: a bare number takes the place of the user in the destination's."""
    if _NUMBER.fullmatch(route):
        scheme_and_user, at, host = uri.rpartition("@")
        if not at:
            raise HandoffInvalid("route is a number, and the destination has no URI to put it in")
        # RFC 3261, 25.1: a hash must be escaped in a user part.
        route = f"{scheme_and_user.split(':')[0]}:{route.replace('#', '%23')}@{host}"
    if not route_allowed(route, config.allowed_routes):
        raise HandoffInvalid("route is not among the project's allowed_routes")
    return route


def _check_uri(method: str, uri: str) -> None:
    try:
        srtp = check_called(uri) if method == "invite" else split_srtp(uri)[1]
    except ValueError as error:
        raise HandoffInvalid(f"the URI {error}") from None
    if method == "refer" and srtp != "disabled":
        raise HandoffInvalid("the URI asks for SRTP of a call that CXone makes; leave ;srtp out, or use invite")


def signal_parameters(
    config: HandoffConfig,
    record: CallRecord,
    plan: HandoffPlan | None,
    headers: Mapping[str, str],
    pop_url: Callable[[CallRecord], str],
) -> dict[str, str]:
    """Fill in p1 to p9 of a handoff, or of the end where there is none; an empty one is not sent, an agent's own wins.

    `headers` are those that the project passes to its agent.
    """
    templates = config.signal if plan else config.end_signal
    wanted = frozenset(name for template in templates.values() for name in template.names)
    values = template_values(record, plan, headers, wanted, pop_url)
    rendered: dict[ParameterName, str] = {name: template.render(values) for name, template in templates.items()}
    own = plan.request.parameters if plan else {}
    return {name: text for name, text in sorted({**rendered, **own}.items()) if text}


def template_values(
    record: CallRecord,
    plan: HandoffPlan | None,
    headers: Mapping[str, str],
    wanted: frozenset[str],
    pop_url: Callable[[CallRecord], str],
) -> dict[str, str]:
    """Everything that a signal template may name, for this call. A link is only signed where one is wanted."""
    data = record.handoff.data if record.handoff else {}
    return {
        "destination": plan.destination if plan else "",
        "skill": plan.skill if plan else "",
        "reason": plan.reason if plan else record.reason,
        "utterance": plan.request.utterance if plan else "",
        "handoff_id": record.call_id,
        "call_id": record.call_id,
        "contact_id": record.contact_id,
        "main_contact_id": record.main_contact_id,
        "caller": record.caller,
        "dialled": record.dialled,
        "client": record.client,
        "project": record.project,
        "pop_url": pop_url(record) if "pop_url" in wanted else "",
        "data_json": _text(data) if data and "data_json" in wanted else "",
        **{f"data.{name}": _text(value) for name, value in data.items() if f"data.{name}" in wanted},
        **{f"headers.{name}": value for name, value in headers.items()},
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
