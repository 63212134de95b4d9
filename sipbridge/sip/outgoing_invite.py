"""The INVITE of an outgoing leg."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from sipbridge.telephony.credentials import Credentials
from sipbridge.telephony.sip_uri import SipUri, SrtpUse


@dataclass(frozen=True, slots=True)
class OutgoingInvite:
    """An INVITE to a target, such as `tcp://10.0.0.1:5060`.

    `account` is PJSUA's number. `sources` are the addresses and networks that may speak for the far end. With a
    username its dialog answers challenges.
    """

    account: int
    uri: str
    target: str
    sources: Sequence[str]
    local_uri: str
    headers: dict[str, str]
    username: str = ""
    password: str = field(default="", repr=False)


def make_invite(
    uri: str,
    target: str,
    transport: str | None,
    local_uri: str,
    headers: Mapping[str, str],
    sources: Sequence[str],
    credentials: Credentials | None,
    accounts: Mapping[SrtpUse, int],
) -> OutgoingInvite:
    """Make an INVITE. A parameter of the URI says if its audio is SRTP; `sources` may be targets, too.

    `transport` is that of the target, None if the target is a proxy, which chooses the next one.
    """
    sent_uri, srtp = SipUri.parse(uri).split_srtp()
    return OutgoingInvite(
        account=accounts[srtp],
        # DNS may have chosen the transport. The URI must name it, because our Contact follows the URI.
        uri=str(sent_uri.with_transport(None if transport == "udp" else transport)),
        target=target,
        sources=[_address(source) for source in sources],
        local_uri=local_uri,
        headers=dict(headers),
        username=credentials.username if credentials else "",
        password=credentials.password if credentials else "",
    )


def caller_uri(caller: str, host: str) -> str:
    """Return the URI of a caller for From: their number at our host."""
    return f"<sip:{quote(caller or 'anonymous', safe='+')}@{host}>"


def _address(source: str) -> str:
    """Return the address of a target; return an address or a network as it is."""
    return source.partition("://")[2].rpartition(":")[0] or source
