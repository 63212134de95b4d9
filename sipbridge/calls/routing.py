"""Which client, project and contact an INVITE is for.

All of it runs on the SIP thread for every INVITE: pure, and a matter of microseconds. Refusals never name a number,
a token or an id.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from multidict import CIMultiDictProxy

from sipbridge.calls.model import Identity, Invite
from sipbridge.config import STANDARD_HEADERS, ClientConfig, Config, ProjectConfig
from sipbridge.errors import BadContactId, MalformedInvite, TokenRefused, UnknownNumber, malformed_refusal

MAX_HEADER_BYTES = 256

_CONTACT_ID = re.compile(r"[A-Za-z0-9-]{1,32}")
# Headers that we write for agents, and they for us.
_OURS = ("x-sipbridge-", "x-handoff-")
# What a word in `Privacy` withholds (RFC 3325, 9.3; RFC 7044, 10.1.2).
_WITHHELD_BY = {"p-asserted-identity": "id", "history-info": "history"}
_ANONYMOUS = "anonymous"  # RFC 3323, 4.1.1.3
# What CXone writes where a call has no contact yet; signalling it reaches somebody else's script, or nobody's.
_PLACEHOLDER = "100000000000"


@dataclass(frozen=True, slots=True)
class Route:
    """Where a call belongs. `dialled` is the user part that was the client's pseudo number, as it came."""

    client: str
    project: str
    dialled: str
    client_config: ClientConfig
    project_config: ProjectConfig


def identify(config: Config, invite: Invite, call_id: str) -> tuple[Identity, ClientConfig, ProjectConfig]:
    """Judge an INVITE in the contract's order: form, number, token, contact id.

    Raises `MalformedInvite`, `UnknownNumber`, `TokenRefused` or `BadContactId`.
    """
    check_wellformed(config, invite)
    found = route(config, invite.dialled, invite.headers)
    try:
        contact_id, main_contact_id = read_contact_id(found.project_config, invite.headers)
    except BadContactId as refusal:
        refusal.client, refusal.project = found.client, found.project
        raise
    identity = Identity(
        call_id=call_id,
        sip_call_id=invite.sip_call_id,
        client=found.client,
        project=found.project,
        contact_id=contact_id,
        main_contact_id=main_contact_id,
        caller=read_caller(found.project_config, invite),
        dialled=found.dialled,
        headers=pass_to_agent(found.project_config, invite.headers),
    )
    return identity, found.client_config, found.project_config


def check_wellformed(config: Config, invite: Invite) -> None:
    """Raise `MalformedInvite` or one of its kin (`malformed_refusal`) for what cannot be acted on whosever call it is.

    The project is not known yet, so the token and contact id headers of all projects are looked at.
    """
    if invite.malformed is not None:
        raise malformed_refusal(invite.malformed_status, invite.malformed)
    for name in config.routing_headers:
        values = invite.headers.getall(name, None)
        if values is None:
            continue
        if len(values) > 1 and len({value.strip() for value in values}) > 1:
            raise MalformedInvite("a contact id or token header came several times with different values")
        # A byte that was no UTF-8 is one character here, and counts as one.
        if any(len(value.strip().encode("utf-8", "replace")) > MAX_HEADER_BYTES for value in values):
            raise MalformedInvite(f"a contact id or token header is over {MAX_HEADER_BYTES} bytes")


def route(config: Config, dialled: Sequence[str], headers: CIMultiDictProxy[str]) -> Route:
    """Find the client by the number, then the project by the token. Raises `UnknownNumber` or `TokenRefused`."""
    number, client_id, client = find_client(config, dialled)
    try:
        project_id, project = find_project(client, headers)
    except TokenRefused as refusal:
        refusal.client = client_id
        raise
    return Route(client_id, project_id, number, client, project)


def find_client(config: Config, dialled: Sequence[str]) -> tuple[str, str, ClientConfig]:
    """Find the first of the user parts that is a pseudo number: it, and the client's id. Raises `UnknownNumber`."""
    for number in dialled:
        found = config.client_of(number)
        if found:
            return number, *found
    raise UnknownNumber("the dialled number is no client's pseudo number; add it to the client's pseudo_numbers")


def find_project(client: ClientConfig, headers: CIMultiDictProxy[str]) -> tuple[str, ProjectConfig]:
    """Find the project whose token its own header carries. Raises `TokenRefused`.

    Every project is compared, found or not, so that the time taken tells nothing.
    """
    found: tuple[str, ProjectConfig] | None = None
    for project_id, project in client.projects.items():
        shown = headers.get(project.headers.auth_token, "").strip()
        accepted = project.auth_token is None or project.auth_token.matches(shown)
        if accepted and found is None:
            found = project_id, project
    if found is None:
        raise TokenRefused("the token is missing, or no project of the client has it")
    return found


def read_contact_id(project: ProjectConfig, headers: CIMultiDictProxy[str]) -> tuple[str, str]:
    """Read the ids of the contact and of its main contact. Raises `BadContactId`.

    A main contact id that is missing, unusable or given in two versions is taken to be the contact id.
    """
    contact_id = headers.get(project.headers.contact_id, "").strip()
    if not _is_contact_id(contact_id):
        raise BadContactId(
            f"{project.headers.contact_id} is missing, CXone's placeholder, or not 1 to 32 letters, digits or hyphens"
        )
    main_ids = {value.strip() for value in headers.getall(project.headers.main_contact_id, ())}
    main_id = main_ids.pop() if len(main_ids) == 1 else ""
    return contact_id, main_id if _is_contact_id(main_id) else contact_id


def _is_contact_id(text: str) -> bool:
    return text != _PLACEHOLDER and _CONTACT_ID.fullmatch(text) is not None


def read_caller(project: ProjectConfig, invite: Invite) -> str:
    """Return the caller's number: that of From, or the one that the trunk asserts, if the project says so.

    A caller who wants it withheld is known by From alone: an agent need not belong to those that trust each other
    with asserted identities (RFC 3325, 7).
    """
    if project.headers.caller == "From" or "id" in _withheld(invite.headers):
        return invite.caller
    return next((user for user in invite.asserted if user.lower() != _ANONYMOUS), invite.caller)


def _withheld(headers: CIMultiDictProxy[str]) -> set[str]:
    """Return what the caller wants withheld, in the words of `Privacy` (RFC 3323, 4.2)."""
    return {value.strip().lower() for values in headers.getall("Privacy", ()) for value in re.split("[;,]", values)}


def pass_to_agent(project: ProjectConfig, headers: CIMultiDictProxy[str]) -> Mapping[str, str]:
    """Pick the headers that the project passes on, the first value of X- headers; never the one with the token.

    Nor those with which a caller could pass for another, or give the agent the words of its own handoff; nor what the
    caller wants withheld.
    """
    names = project.headers
    withheld = _withheld(headers)
    seen = {names.auth_token.lower(), *(name for name, word in _WITHHELD_BY.items() if word in withheld)}
    passed: dict[str, str] = {}
    for name, value in headers.items():
        folded = name.lower()
        if folded not in seen and names.passed.match(folded) and not folded.startswith(_OURS):
            seen.add(folded)
            standard = STANDARD_HEADERS.get(folded)
            # Plain text: a JSON encoder may not take the multidict's own kind for a key.
            passed[standard or str(name)] = ", ".join(headers.getall(name)) if standard else value
    return passed
