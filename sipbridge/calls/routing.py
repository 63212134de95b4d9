"""The routing of an INVITE to its client, project and contact.

These are pure functions that run on the SIP thread for every INVITE, within microseconds. Errors never quote a number,
a token or an id.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from multidict import CIMultiDictProxy

from sipbridge.calls.model import Identity, Invite
from sipbridge.config import STANDARD_HEADERS, ClientConfig, Config, VoiceProjectConfig
from sipbridge.errors import BadContactId, MalformedInvite, TokenRefused, UnknownNumber, malformed_refusal
from sipbridge.telephony.contact_id import is_contact_id

MAX_HEADER_BYTES = 256

# Headers that the bridge writes for agents, and agents for the bridge.
_OURS = ("x-sipbridge-", "x-handoff-")
# The header that each value of `Privacy` withholds (RFC 3325, 9.3; RFC 7044, 10.1.2).
_WITHHELD_BY = {"p-asserted-identity": "id", "history-info": "history"}
_ANONYMOUS = "anonymous"  # RFC 3323, 4.1.1.3


@dataclass(frozen=True, slots=True)
class Route:
    """The client and project of a call. `dialled` is the user part that has the client's pseudo number, as received."""

    client: str
    project: str
    dialled: str
    client_config: ClientConfig
    project_config: VoiceProjectConfig


def identify(config: Config, invite: Invite, call_id: str) -> tuple[Identity, ClientConfig, VoiceProjectConfig]:
    """Identify a call, checked in the contract's order: form, number, token, contact id.

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
    """Raise `MalformedInvite` or a related error (`malformed_refusal`) for an INVITE that no project could use.

    The project is not known yet, so the token and contact id headers of all projects are checked.
    """
    if invite.malformed is not None:
        raise malformed_refusal(invite.malformed_status, invite.malformed)
    for name in config.routing_headers:
        values = invite.headers.getall(name, None)
        if values is None:
            continue
        if len(values) > 1 and len({value.strip() for value in values}) > 1:
            raise MalformedInvite("a contact id or token header occurs several times with different values")
        # A byte that is not UTF-8 is one character here, and counts as one.
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
    """Return the first user part that is a pseudo number, and its client with its id. Raises `UnknownNumber`."""
    for number in dialled:
        found = config.client_of(number)
        if found:
            return number, *found
    raise UnknownNumber("no client has the dialled number; add it to the client's pseudo_numbers")


def find_project(client: ClientConfig, headers: CIMultiDictProxy[str]) -> tuple[str, VoiceProjectConfig]:
    """Return the project whose token is in the header of that project. Raises `TokenRefused`.

    The token is compared with that of every project, so that the time taken reveals nothing.
    """
    found: tuple[str, VoiceProjectConfig] | None = None
    for project_id, project in client.voice_projects.items():
        shown = headers.get(project.headers.auth_token, "").strip()
        accepted = project.auth_token is None or project.auth_token.matches(shown)
        if accepted and found is None:
            found = project_id, project
    if found is None:
        raise TokenRefused("the token is missing, or no project of the client has it")
    return found


def read_contact_id(project: VoiceProjectConfig, headers: CIMultiDictProxy[str]) -> tuple[str, str]:
    """Return the ids of the contact and of its main contact. Raises `BadContactId`.

    The contact id replaces a main contact id that is missing, not valid, or given with two values.
    """
    contact_id = headers.get(project.headers.contact_id, "").strip()
    if not is_contact_id(contact_id):
        raise BadContactId(
            f"{project.headers.contact_id} is missing, CXone's placeholder, or not 1 to 32 letters, digits or hyphens"
        )
    main_ids = {value.strip() for value in headers.getall(project.headers.main_contact_id, ())}
    main_id = main_ids.pop() if len(main_ids) == 1 else ""
    return contact_id, main_id if is_contact_id(main_id) else contact_id


def read_caller(project: VoiceProjectConfig, invite: Invite) -> str:
    """Return the caller's number: that of From, or the one that the trunk asserts if the project is configured so.

    If the caller wants privacy, only From is used: the agent may be outside the trust domain of asserted identities
    (RFC 3325, 7).
    """
    if project.headers.caller == "From" or "id" in _withheld(invite.headers):
        return invite.caller
    return next((user for user in invite.asserted if user.lower() != _ANONYMOUS), invite.caller)


def _withheld(headers: CIMultiDictProxy[str]) -> set[str]:
    """Return the values of `Privacy` (RFC 3323, 4.2)."""
    return {value.strip().lower() for values in headers.getall("Privacy", ()) for value in re.split("[;,]", values)}


def pass_to_agent(project: VoiceProjectConfig, headers: CIMultiDictProxy[str]) -> Mapping[str, str]:
    """Return the headers that the project passes to its agent; of repeated X- headers the first value.

    Never passed are the token, the headers that the bridge and agents write for each other, and those that the caller
    wants withheld.
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
            # A plain str: a JSON encoder may refuse the multidict's own type as a key.
            passed[standard or str(name)] = ", ".join(headers.getall(name)) if standard else value
    return passed
