"""SIP URIs (RFC 3261, 19.1): one way to split them, and a named check for each degree of strictness."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from typing import Literal, NamedTuple, Self

SrtpUse = Literal["disabled", "optional", "mandatory"]

# PJSIP is built without IPv6, for signalling and media alike.
NO_IPV6 = "has an IPv6 address; SIP and RTP use IPv4 only in this release, so write an IPv4 address"

# An "@" must be escaped everywhere but at the end of the userinfo, and a "?" may be part of it (RFC 3261, 25.1): so
# the first "@" ends the userinfo, as it does for PJSIP. Every repeat is possessive: a split takes linear time.
_PARTS = re.compile(
    r"(?:(?P<scheme>[^:@]*+):)?(?:(?P<userinfo>[^@]*+)@)?"
    r"(?P<host>\[[^\]@]*+\]|[^:;?]*+)(?::(?P<port>[^;?]*+))?(?P<parameters>[^?]*+)(?P<headers>.*+)",
    re.DOTALL,
)
# A tel URI has a number instead of userinfo and host (RFC 3966, 3).
_TEL_PARTS = re.compile(r"(tel):()([^;]*+)()([^?]*+)(.*+)", re.IGNORECASE | re.DOTALL)

_SRTP_USES: dict[str, SrtpUse] = {"optional": "optional", "mandatory": "mandatory"}
_SRTP = re.compile(r";srtp(?:=([^;]*))?(?=;|$)", re.IGNORECASE)
_MAX_PORT = 65535
_MAX_PORT_DIGITS = 5

_WRITTEN = re.compile(
    r'sips?:(?:[^@?\s<>"]+@)?(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::[0-9]{1,5})?(?:[;?][^@\s<>"]*)?'
)
_WRITTEN_TEL = re.compile(r'tel:\+?[0-9().-]+(?:;[^\s<>"]*)?')

_PLAIN_PARAMETERS = r"(?:;[a-z0-9._-]+(?:=[a-z0-9._-]+)?)*"
_PLAIN = re.compile(
    r"sips?:(?:(?:[a-z0-9+.*_~!$&'()=-]|%23)+@)?(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?"
    + _PLAIN_PARAMETERS
    + r"|tel:[0-9+.()*-]+"
    + _PLAIN_PARAMETERS
)
# They select another address than the host, another method than INVITE, or multicast (RFC 3261, 19.1.1).
_STEERING = re.compile(r";(?:maddr|method|ttl)(?![a-z0-9._-])")

# Ends at whatever ends a URI in a header. A URI inside another one is not found, so that the search takes linear time.
_IN_TEXT = re.compile(r"\bsips?:[^<>,\s]*+", re.IGNORECASE)
_HOST_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*+")


class SipUri(NamedTuple):
    """A SIP, SIPS or tel URI in its parts, each as it was written: `str(SipUri.parse(text)) == text` for any text.

    `userinfo` is the user part and the password, `host` keeps the brackets of an IPv6 address or is the number of a
    tel URI, `parameters` begins with a semicolon and `headers` with a question mark. A part that is missing is None
    if its separator is missing too.
    """

    scheme: str | None
    userinfo: str | None
    host: str
    port_text: str | None
    parameters: str
    headers: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Split a URI. Never raises: for the validity of the parts see the checks below."""
        if text[:4].lower() == "tel:":
            number, parameters, headers = _TEL_PARTS.fullmatch(text).group(3, 5, 6)  # type: ignore[union-attr]  # it matches any tel URI
            return cls(text[:3], None, number, None, parameters, headers)
        return cls._make(_PARTS.fullmatch(text).groups())  # type: ignore[union-attr]  # it matches any text

    def __str__(self) -> str:
        scheme = "" if self.scheme is None else f"{self.scheme}:"
        userinfo = "" if self.userinfo is None else f"{self.userinfo}@"
        port = "" if self.port_text is None else f":{self.port_text}"
        return f"{scheme}{userinfo}{self.host}{port}{self.parameters}{self.headers}"

    @property
    def is_tel(self) -> bool:
        """True if this is a tel URI."""
        return self.scheme is not None and self.scheme.lower() == "tel"

    @property
    def is_sips(self) -> bool:
        """True if TLS is required on every hop."""
        return self.scheme is not None and self.scheme.lower() == "sips"

    @property
    def is_sip(self) -> bool:
        """True if this is a SIP or SIPS URI."""
        return self.is_sips or (self.scheme is not None and self.scheme.lower() == "sip")

    @property
    def user(self) -> str:
        """The user part, still escaped and without the password, or the number of a tel URI; empty if there is none.

        It keeps the parameters of a telephone-subscriber (`+1555;npdi`, RFC 3261, 19.1.6).
        """
        if self.userinfo is not None:
            return self.userinfo.partition(":")[0]
        return self.host if self.is_tel else ""

    @property
    def port(self) -> int:
        """The port; 0 if the URI names none, or no valid one."""
        text = self.port_text or ""
        port = int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_PORT_DIGITS else 0
        return port if port <= _MAX_PORT else 0

    @property
    def transport(self) -> str | None:
        """The transport that the URI names, in lower case; None if it names none."""
        if self.is_sips:
            return "tls"
        transport = self.parameter("transport")
        return transport.lower() if transport else None

    @property
    def next_hop(self) -> tuple[str, int, str]:
        """The next hop of requests to this URI: host, port (0 if none is named) and transport ("" if none)."""
        return self.parameter("maddr") or self.host, self.port, self.transport or ""

    def parameter(self, name: str) -> str | None:
        """Return the first value of a parameter; None if it is missing or has no value."""
        for parameter in self.parameters.split(";")[1:]:
            key, _, value = parameter.partition("=")
            if value and key.lower() == name:
                return value
        return None

    def has_same_host(self, other: SipUri) -> bool:
        """Return True if requests to both URIs go to the same host, on any port."""
        return self.next_hop[0].lower().rstrip(".") == other.next_hop[0].lower().rstrip(".")

    def with_user(self, user: str) -> SipUri:
        """Return the URI with this user part, without a password. A hash is escaped (RFC 3261, 25.1)."""
        return self._replace(userinfo=user.replace("#", "%23"))

    def with_transport(self, transport: str | None) -> SipUri:
        """Return the URI with this transport if it names none (RFC 3261, 19.1.1)."""
        if transport is None or self.transport is not None:
            return self
        return self._replace(parameters=f"{self.parameters};transport={transport}")

    def with_srtp(self, use: SrtpUse) -> SipUri:
        """Return a URI that has no use of SRTP yet with this one."""
        if use == "disabled":
            return self
        return self._replace(parameters=f"{self.parameters};srtp={use}")

    def split_srtp(self) -> tuple[SipUri, SrtpUse]:
        """Return the URI as others may see it, and the use of SRTP in its parameter `;srtp`, which is our own.

        `;srtp` alone is `mandatory`. Raises `ValueError` for another value, or for two of them.
        """
        found = list(_SRTP.finditer(self.parameters))
        if not found:
            return self, "disabled"
        value = found[0][1]
        use = _SRTP_USES.get("mandatory" if value is None else value.lower())
        if use is None or len(found) > 1:
            raise ValueError("has no valid srtp parameter; write ;srtp=mandatory or ;srtp=optional, once")
        return self._replace(parameters=_SRTP.sub("", self.parameters)), use

    def check_port(self) -> None:
        """Raise `ValueError` for a port that is not a number from 1 to 65535."""
        if self.port_text is not None and not self.port:
            raise ValueError(f"has no valid port; write a number from 1 to {_MAX_PORT}")

    def check_callable(self) -> SrtpUse:
        """Return the use of SRTP in a call of ours to this URI.

        Raises `ValueError` for a URI that we cannot call: a telephone number without a host, an IPv6 address, an
        invalid port, or an invalid `srtp` parameter.
        """
        if self.is_tel:
            raise ValueError("has no host to call; use a sip: URI, or refer")
        if self.host.startswith("[") or ";maddr=[" in self.parameters.lower():
            raise ValueError(NO_IPV6)
        self.check_port()
        return self.split_srtp()[1]


def check_at_signs(text: str) -> None:
    """Raise `ValueError` for a SIP URI, or a pattern of them, that may have another host than its writer meant.

    RFC 3261 allows a "?" in a user part, so that the host of `sip:one?X=a@two` is `two`.
    """
    userinfo, at, rest = text.partition("@")
    if at and "?" in userinfo:
        raise ValueError("has a ? before its @; write %40 for an @ after a ?, and %3F for a ? in the user part")
    if "@" in rest:
        raise ValueError("has an @ besides the one before its host; write it as %40")


def is_configurable(text: str) -> bool:
    """Return True for a SIP URI that an operator may write: no brackets, blanks or quotes, a host, a short port.

    It also passes `check_at_signs`, which says what is wrong.
    """
    return _WRITTEN.fullmatch(text) is not None


def is_configurable_tel(text: str) -> bool:
    """Return True for a tel URI that an operator may write."""
    return _WRITTEN_TEL.fullmatch(text) is not None


def is_unambiguous(text: str) -> bool:
    """Return True for a SIP or tel URI, in lower case, that every parser reads in the same way, host and all.

    It has no brackets, blanks, quotes, commas or headers, which could end the URI inside a header field; no password;
    of the escapes only %23 (#), since others could hide an @ or a line break; and no parameter that steers it
    elsewhere.
    """
    return _PLAIN.fullmatch(text) is not None and _STEERING.search(text) is None


def host_names(texts: Iterable[str]) -> set[str]:
    """Return the hosts of the SIP URIs in texts such as header values that are names, not addresses."""
    hosts = {SipUri.parse(found).host for text in texts for found in _IN_TEXT.findall(text)}
    return {host for host in hosts if _HOST_NAME.fullmatch(host) and not _is_address(host)}


def _is_address(host: str) -> bool:
    if not host[-1].isdigit():  # the usual case for a name, and cheaper than an exception
        return False
    try:
        socket.inet_pton(socket.AF_INET, host)  # for each INVITE: `ipaddress` takes ten times as long
    except OSError:
        return False
    return True
