"""The types of the values in the configuration.

Each check raises `ValueError` with "what is wrong; what would be right". No text shows the value, which may be a secret
under the wrong key.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationInfo,
)

from sipbridge.config.addresses import check_host, check_ipv4, is_host, is_loopback, split_url
from sipbridge.config.file_access import read_problem
from sipbridge.config.header_names import (
    NAME_CHARACTER,
    STACK_HEADERS,
    STANDARD_HEADERS,
    UPGRADE_HEADERS,
    is_header_name,
    is_http_header_name,
    is_standard_header,
)
from sipbridge.telephony import sip_uri
from sipbridge.telephony.dtmf import is_dtmf_digit

BASE = "base"  # key of pydantic's validation context: the folder that relative paths are relative to

_HEADER_PATTERN = re.compile(rf"[Xx]-(?:{NAME_CHARACTER}|[?\[\]])*")
_CSP_SOURCE = re.compile(
    r"'self'|'none'|\*|[a-z][a-z0-9+.-]*:|(?:[a-z][a-z0-9+.-]*://)?(?:\*\.)?[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*(?::(?:[0-9]{1,5}|\*))?/?"
)
_NO_HEADER_NAME = "is not a valid header name; use letters, digits, hyphens, dots and underscores"
# Every number has a maximum: larger ones overflow floats, dates and timers, some of them only during a call.
_MAX_COUNT = 1_000_000
_MAX_SECONDS = 365 * 24 * 3600
_MAX_HOURS = 10 * 365 * 24
_MAX_BITS = 64
_MAX_BRAND_ID = 2**53 - 1  # JSON's safe integers (RFC 8259, 6)


class Section(BaseModel):
    """A mapping of the configuration: frozen, without unknown keys, and without its input in error texts."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("is true or false; write a number")  # noqa: TRY004 (pydantic reports a ValueError as an error of the field)
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:  # a float might not hold it
        raise ValueError("is too large; write a smaller number")
    return value


def check_line(value: str) -> str:
    """Return the text if it is one line. Raises `ValueError` for a control character."""
    if re.search(r"[\x00-\x1f\x7f]", value):
        raise ValueError("holds a line break or another control character; write one line of text")
    return value


def _ipv4_host(value: str) -> str:
    check_host(value, "write an IP address or a host name")
    check_ipv4(value)
    return value


def _network(value: object) -> object:
    if isinstance(value, str):
        try:
            return ipaddress.ip_network(value)
        except ValueError:
            raise ValueError("is not a valid network; write CIDR without host bits, like 203.0.113.0/24") from None
    if not isinstance(value, IPv4Network | IPv6Network):
        raise ValueError("is not a valid network; write CIDR in quotes, like '203.0.113.0/24'")  # noqa: TRY004 (as above)
    return value


def _base_url(*schemes: str) -> AfterValidator:
    right = f"write {' or '.join(f'{scheme}://HOST' for scheme in schemes)}"

    def check(value: str) -> str:
        parts = split_url(value, right)
        if parts.scheme not in schemes or parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError(f"is not a valid base URL; {right}, without user, query and fragment")
        check_host(parts.hostname, right)
        return value.rstrip("/")

    return AfterValidator(check)


def _webhook_url(value: str) -> str:
    right = "write https://HOST/PATH, or http:// for this machine"
    parts = split_url(value, right)
    if parts.scheme not in ("https", "http") or parts.fragment or "@" in parts.netloc or re.search(r"\s", value):
        raise ValueError(f"is not a valid webhook URL; {right}, without user and fragment")
    check_host(parts.hostname, right)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("would send what customers write unencrypted; write https://")
    return value


def _host_pattern(value: str) -> str:
    if not is_host(value.removeprefix("*.")):
        raise ValueError("is not a valid host; write HOST, or *.DOMAIN for every host below a domain")
    return value.lower().removesuffix(".")


def _websocket_url(value: str) -> str:
    right = "write ws://HOST/PATH or wss://HOST/PATH"
    parts = split_url(value, right)
    if parts.scheme not in ("ws", "wss") or parts.fragment or re.search(r"\s", value):
        raise ValueError(f"is not a valid WebSocket URL; {right}")
    check_host(parts.hostname, right)
    return value


def _sip_uri(value: str) -> str:
    sip_uri.check_at_signs(value)
    if not sip_uri.is_configurable(value):
        raise ValueError("is not a valid SIP URI; write sip:USER@HOST:PORT without angle brackets")
    sip_uri.SipUri.parse(value).check_callable()
    return value


def _sip_proxy(value: str) -> str:
    uri = sip_uri.SipUri.parse(_sip_uri(value))
    if uri.userinfo is not None or uri.split_srtp()[1] != "disabled":
        raise ValueError("is not a valid proxy; write sip:HOST:PORT, with ;transport=tcp or tls if it is not UDP")
    return str(uri.with_transport("tls" if uri.is_sips else "udp"))


def _refer_uri(value: str) -> str:
    sip_uri.check_at_signs(value)
    if not sip_uri.is_configurable(value) and not sip_uri.is_configurable_tel(value):
        raise ValueError("is not a valid SIP or tel URI; write sip:USER@HOST or tel:+NUMBER without angle brackets")
    uri = sip_uri.SipUri.parse(value)
    uri.check_port()
    if uri.split_srtp()[1] != "disabled":
        raise ValueError("requests SRTP for a call that CXone makes; remove ;srtp, or write method: invite")
    return value


def _route_pattern(value: str) -> str:
    if not re.fullmatch(r'(?:sips?|tel):[^\s<>"]+', value):
        raise ValueError(
            "is not a valid route pattern; begin with sip:, sips: or tel:, use * for any characters and no blanks"
        )
    sip_uri.check_at_signs(value)
    return value


def _digest_user(value: str) -> str:
    if re.search(r'["\\]', check_line(value)):
        raise ValueError("holds a quotation mark or a backslash, which a header cannot carry unescaped; remove it")
    return value


def _header_name(value: str) -> str:
    if not is_header_name(value):
        raise ValueError(_NO_HEADER_NAME)
    return value


def _own_sip_header(value: str) -> str:
    if _header_name(value).lower() in STACK_HEADERS:
        raise ValueError("is a header that the SIP stack writes; use another, preferably an X- header")
    return value


def _own_upgrade_header(value: str) -> str:
    if not is_http_header_name(value):
        raise ValueError(_NO_HEADER_NAME)
    if value.lower() in UPGRADE_HEADERS:
        raise ValueError("is a header that the WebSocket handshake writes; use another")
    return value


def _header_pattern(value: str) -> str:
    if is_standard_header(value):
        return value
    if not _HEADER_PATTERN.fullmatch(value):
        others = ", ".join(STANDARD_HEADERS.values())
        raise ValueError(
            f"is not a pattern of X- headers; begin with X- and use * for any characters, or name one of {others}"
        )
    return value


def _caller_header(value: object) -> object:
    """Return one of the two names in its usual spelling, whatever its case."""
    names = {name.lower(): name for name in ("From", "P-Asserted-Identity")}
    return names.get(value.lower(), value) if isinstance(value, str) else value


def _frame_source(value: str) -> str:
    if not _CSP_SOURCE.fullmatch(value):
        raise ValueError(
            "is not a valid source of a Content-Security-Policy; write 'self', 'none' or https://*.example.com"
        )
    return value


def _origin(value: str) -> str:
    """Return an origin as browsers send it (RFC 6454, 6.2): in lower case, without the default port of the scheme."""
    right = "write https://HOST, with a port if needed, or '*' for any page"
    if value == "*":
        return value
    parts = split_url(value, right)
    if not parts.scheme or parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(f"is not an origin; {right}")
    check_host(parts.hostname, right)
    origin = value.rstrip("/").lower()
    return origin.removesuffix({"http": ":80", "https": ":443"}.get(parts.scheme, "/"))


def _under_base(value: Path, info: ValidationInfo) -> Path:
    check_line(str(value))
    base: Path | None = (info.context or {}).get(BASE)
    return base / value if base else value


def _readable(value: Path) -> Path:
    if (problem := read_problem(value)) is not None:
        raise ValueError(problem)
    return value


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _dtmf_digit(value: object) -> object:
    digit = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not is_dtmf_digit(digit):
        raise ValueError("is not a DTMF digit; write one of 0 to 9, *, # or A to D")
    return digit


def _command(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return tuple(shlex.split(value))
    except ValueError:
        raise ValueError("has an unclosed quote; write the program and its arguments") from None


def _program_under_base(value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    program, *arguments = value
    if not program:
        raise ValueError("names no program; write the program and its arguments")
    # A name without a slash is looked up in PATH, as in a shell.
    return (str(_under_base(Path(program), info)) if "/" in program else program, *arguments)


Count = Annotated[int, BeforeValidator(_number), Field(gt=0, le=_MAX_COUNT)]
CountOrZero = Annotated[int, BeforeValidator(_number), Field(ge=0, le=_MAX_COUNT)]
BrandId = Annotated[int, BeforeValidator(_number), Field(gt=0, le=_MAX_BRAND_ID)]
WholeSeconds = Annotated[int, BeforeValidator(_number), Field(gt=0, le=_MAX_SECONDS)]
Seconds = Annotated[float, BeforeValidator(_number), Field(gt=0, le=_MAX_SECONDS, allow_inf_nan=False)]
SecondsOrZero = Annotated[float, BeforeValidator(_number), Field(ge=0, le=_MAX_SECONDS, allow_inf_nan=False)]
Hours = Annotated[float, BeforeValidator(_number), Field(gt=0, le=_MAX_HOURS, allow_inf_nan=False)]
Port = Annotated[int, BeforeValidator(_number), Field(gt=0, le=65535)]
Line = Annotated[str, AfterValidator(check_line)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(check_line)]
Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
DigestUser = Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(_digest_user)]
Secret = Annotated[SecretStr, Field(min_length=1)]
Ipv4Host = Annotated[str, AfterValidator(_ipv4_host)]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]
HttpUrl = Annotated[str, _base_url("https", "http")]
WebsocketUrl = Annotated[str, AfterValidator(_websocket_url)]
WebsocketBaseUrl = Annotated[str, _base_url("wss", "ws")]
WebhookUrl = Annotated[str, AfterValidator(_webhook_url)]
HostPattern = Annotated[str, AfterValidator(_host_pattern)]
SipUri = Annotated[str, AfterValidator(_sip_uri)]
# It names its transport.
SipProxy = Annotated[str, AfterValidator(_sip_proxy)]
SipUris = Annotated[tuple[SipUri, ...], BeforeValidator(_one_or_more), Field(min_length=1)]
ReferUri = Annotated[str, AfterValidator(_refer_uri)]
RoutePattern = Annotated[str, AfterValidator(_route_pattern)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderPattern = Annotated[str, AfterValidator(_header_pattern)]
HttpHeaders = dict[Annotated[str, AfterValidator(_own_upgrade_header)], Line]
SipHeaders = dict[Annotated[str, AfterValidator(_own_sip_header)], Line]
FrameSource = Annotated[str, AfterValidator(_frame_source)]
Origin = Annotated[str, AfterValidator(_origin)]
CallerHeader = Annotated[Literal["From", "P-Asserted-Identity"], BeforeValidator(_caller_header)]
DtmfDigit = Annotated[str, BeforeValidator(_dtmf_digit)]
Command = Annotated[
    tuple[Line, ...], BeforeValidator(_command), Field(min_length=1), AfterValidator(_program_under_base)
]
PathUnderBase = Annotated[Path, AfterValidator(_under_base)]
ReadableFile = Annotated[Path, AfterValidator(_under_base), AfterValidator(_readable)]
