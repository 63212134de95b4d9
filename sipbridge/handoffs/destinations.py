"""The plan of a handoff: the request, checked against the project's destinations and routes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sipbridge.config import (
    Destination,
    HandoffConfig,
    InviteDestination,
    ReferDestination,
)
from sipbridge.errors import HandoffInvalid
from sipbridge.handoffs.allowed_routes import route_allowed
from sipbridge.handoffs.request import HandoffRequest
from sipbridge.telephony.credentials import Credentials
from sipbridge.telephony.sip_uri import SipUri

_NUMBER = re.compile(r"\+?[0-9*#]{1,32}")
_DEFAULT_ANSWER_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class HandoffPlan:
    """A valid handoff. `uri` is empty for `release`."""

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
    """Return the plan for a request. Raises `HandoffInvalid` if the project does not allow it."""
    name = request.destination or config.default
    destination = config.destinations.get(name)
    if destination is None:
        raise HandoffInvalid(f"unknown destination; use one of {', '.join(sorted(config.destinations))}")
    uri, headers, answer_timeout = "", {}, _DEFAULT_ANSWER_SECONDS
    if isinstance(destination, ReferDestination | InviteDestination):
        uri, headers = destination.uri, dict(destination.headers)
    if isinstance(destination, InviteDestination):
        answer_timeout = destination.answer_timeout_seconds
    method = request.method or destination.method
    if request.route:
        uri = _resolve_route(request.route, uri, config)
        method = "refer" if method == "release" else method
    if method != "release" and not uri:
        raise HandoffInvalid(f"{method} needs a URI, but the destination has none; give a route")
    if request.route or request.method:  # without these, it is a URI and a method of the checked configuration
        _check_uri(method, uri)
    own = _own_destination(destination, uri)
    return HandoffPlan(
        destination=name,
        skill=destination.skill,
        reason=request.reason or name,
        method=method,
        uri="" if method == "release" else uri,
        headers=_merge(headers, request.sip_headers),
        signal=destination.signal,
        answer_timeout_seconds=answer_timeout,
        request=request,
        credentials=own.credentials if own else None,
        sources=tuple(map(str, own.trusted_sources)) if own else (),
    )


def _own_destination(destination: Destination, uri: str) -> InviteDestination | None:
    """Return the destination if the URI has its host; None if a route selects another host."""
    if not isinstance(destination, InviteDestination) or not SipUri.parse(uri).has_same_host(
        SipUri.parse(destination.uri)
    ):
        return None
    return destination


def _merge(configured: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Merge the headers; the agent's own win. Case does not matter."""
    taken = {name.lower() for name in own}
    return {**{name: value for name, value in configured.items() if name.lower() not in taken}, **own}


def _resolve_route(route: str, uri: str, config: HandoffConfig) -> str:
    """Return the URI of a route. A bare number replaces the user part of the destination's URI."""
    if _NUMBER.fullmatch(route):
        own = SipUri.parse(uri)
        if own.userinfo is None:
            raise HandoffInvalid("route is a number, but the destination has no URI; give a SIP URI")
        route = str(own.with_user(route))
    if not route_allowed(route, config.allowed_routes):
        raise HandoffInvalid("route matches none of the project's allowed_routes")
    return route


def _check_uri(method: str, uri: str) -> None:
    parsed = SipUri.parse(uri)
    try:
        parsed.check_port()
        srtp = parsed.check_callable() if method == "invite" else parsed.split_srtp()[1]
    except ValueError as error:
        raise HandoffInvalid(f"the URI {error}") from None
    if method == "refer" and srtp != "disabled":
        raise HandoffInvalid("the URI asks for SRTP of a call that CXone makes; leave ;srtp out, or use invite")
