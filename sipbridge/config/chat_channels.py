"""`channels` of `chat`: the ways into CXone's digital channels."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, Self
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, ValidationInfo, field_validator

from sipbridge.config.addresses import ParsedText, check_host, split_url
from sipbridge.config.fields import BrandId, HttpUrl, Name, Secret, Section, WebsocketBaseUrl
from sipbridge.config.signal_template import ChatTemplate

# The environments of CXone's chat gateway, each with the domain of its hosts. Source: NICE's public web, Android and
# iOS SDKs for digital chat.
_DOMAINS: Final = {
    **dict.fromkeys(("NA1", "EU1", "UK1", "AU1", "CA1", "JP1"), "niceincontact.com"),
    **dict.fromkeys(("AE1", "JO1", "KR1", "ZA1"), "nicecxone.com"),
    "NA2": "nicecxone-gov.com",
    "EU2": "nicecxone-sov1.eu",
    "UK2": "nicecxone-sov1.uk",
    "AU2": "nicecxone-sov1.au",
}
_DFO_URLS = ("gateway_url", "rest_url", "oauth_url")
_PATRON_API = "inContactAPI/services/v12.0"
_PATRON_TOKEN = "authentication/v1/token/access-key"  # noqa: S105 (a path)
_CLUSTER_HOST = re.compile(r"home-([a-z]+[0-9]+)\.([a-z0-9.-]+)")


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _channel_id(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}", value):
        raise ValueError("is not a valid channel id; copy it from Digital > Points of Contact, like chat_UUID")
    return value


def _field_ident(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", value):
        raise ValueError(
            "is not a valid field ident; use at most 64 letters, digits, dots, hyphens and underscores, as CXone does"
        )
    return value


def _object_id(value: str) -> str:
    if not re.fullmatch(r"[0-9]{1,19}", value):
        raise ValueError("is not a valid id; write its digits, in quotes")
    return value


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, LookupError, OSError):
        raise ValueError("is not a known time zone; write one like America/Denver") from None
    return value


TimeZone = Annotated[str, AfterValidator(_time_zone)]
Environment = Annotated[
    Literal["NA1", "EU1", "UK1", "AU1", "CA1", "JP1", "AE1", "JO1", "KR1", "ZA1", "NA2", "EU2", "UK2", "AU2"],
    BeforeValidator(_upper),
]
ChannelId = Annotated[str, AfterValidator(_channel_id)]
ObjectId = Annotated[str, AfterValidator(_object_id)]
CustomFields = dict[Annotated[str, AfterValidator(_field_ident)], ChatTemplate]


class DfoChannelConfig(Section):
    """A channel of the chat gateway: what NICE calls brand id, channel id and environment.

    `environment` is None only if all three URLs are given; `gateway`, `rest` and `oauth` are the URLs to use.
    `livechat` None asks the channel for its kind.
    """

    type: Literal["dfo"]
    brand_id: BrandId
    channel_id: ChannelId
    gateway_url: WebsocketBaseUrl | None = None
    rest_url: HttpUrl | None = None
    oauth_url: HttpUrl | None = None
    environment: Annotated[Environment | None, Field(validate_default=True)] = None
    custom_fields: CustomFields = Field(default={})
    livechat: bool | None = None

    @field_validator("environment")
    @classmethod
    def _implied_or_given(cls, value: str | None, info: ValidationInfo) -> str | None:
        # A URL with an error of its own is not in the data; it counts as given.
        if value is None and any(info.data.get(key, "") is None for key in _DFO_URLS):
            raise ValueError(f"is missing; write one like NA1, or all of {', '.join(_DFO_URLS)}")
        return value

    @property
    def templates(self) -> tuple[ChatTemplate, ...]:
        """The templates of the custom fields."""
        return tuple(self.custom_fields.values())

    @property
    def gateway(self) -> str:
        """The URL of the WebSocket, without a query and a slash at its end."""
        return self.gateway_url or self._host("wss", "chat-gw")

    @property
    def rest(self) -> str:
        """The base URL of the REST API, without a slash at its end."""
        return self.rest_url or self._host("https", "channels")

    @property
    def oauth(self) -> str:
        """The base URL of the token service of secured sessions, without a slash at its end."""
        return self.oauth_url or self._host("https", "digital-oauth")

    def _host(self, scheme: str, name: str) -> str:
        if self.environment is None:
            raise AssertionError("a channel without an environment has all URLs")
        return f"{scheme}://{name}-de-{self.environment.lower()}.{_DOMAINS[self.environment]}"


class BoxConfig(Section):
    """`box`: the credentials with which CXone calls the bridge for a bring-your-own channel."""

    client_id: Name
    client_secret: Secret


class ByocChannelConfig(Section):
    """A bring-your-own channel over DFO REST 3.0, with the CXone credentials of the client.

    `api_url` None derives the base URL from the area of the client's tenant.
    """

    type: Literal["byoc"]
    channel_id: ChannelId
    box: BoxConfig
    custom_fields: CustomFields = Field(default={})
    api_url: HttpUrl | None = None

    @property
    def templates(self) -> tuple[ChatTemplate, ...]:
        """The templates of the custom fields."""
        return tuple(self.custom_fields.values())


class PocUrl(ParsedText):
    """The URL of a point of contact for chat, with `poc` and `bu` in its query."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the text as this type. Raises `ValueError`."""
        right = "write https://HOST/PATH?poc=…&bu=…, as CXone shows it"
        parts = split_url(text, right)
        if parts.scheme not in ("https", "http") or parts.fragment or "@" in parts.netloc or re.search(r"\s", text):
            raise ValueError(f"is not a valid URL of a point of contact; {right}")
        check_host(parts.hostname, right)
        if text.endswith("/"):
            raise ValueError("ends with a slash; remove it")
        given = cls(text)
        missing = [key for key in ("poc", "bu") if not given.query.get(key)]
        if missing:
            raise ValueError(f"has no {' and no '.join(missing)} in its query; {right}")
        return given

    @property
    def query(self) -> dict[str, str]:
        """The query by names in lower case."""
        return {name.lower(): value for name, value in parse_qsl(urlsplit(self).query)}

    @property
    def point_of_contact(self) -> str:
        """The id of the point of contact."""
        return self.query["poc"]

    @property
    def business_unit(self) -> str:
        """The number of the business unit."""
        return self.query["bu"]

    @property
    def cluster(self) -> tuple[str, str] | None:
        """The cluster and the domain, like `c29` and `nice-incontact.com`; None if the host does not name them."""
        found = _CLUSTER_HOST.fullmatch(urlsplit(self).hostname or "")
        return (found[1], found[2]) if found else None


class PatronChannelConfig(Section):
    """A point of contact of the patron chat API.

    `parameters` are P1, P2, … in order. `area` is the region of the token service. `skill` and `hours` are the ids that
    answer if human agents are available; None does not ask. `time_zone` is that of the hours. The host of `poc_url`
    names the cluster; for any other host, `api_url` and `token_url` must be given. `api` and `token` are the URLs to
    use.
    """

    type: Literal["patron"]
    poc_url: PocUrl = Field(repr=False)
    access_key_id: Name
    access_key_secret: Secret
    parameters: tuple[ChatTemplate, ...] = ()
    area: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2}[0-9]{1,2}$", to_lower=True)] = "na1"
    api_url: Annotated[HttpUrl | None, Field(validate_default=True)] = None
    token_url: Annotated[HttpUrl | None, Field(validate_default=True)] = None
    skill: ObjectId | None = None
    hours: ObjectId | None = None
    time_zone: TimeZone = "UTC"

    @field_validator("api_url", "token_url")
    @classmethod
    def _derived_or_given(cls, value: str | None, info: ValidationInfo) -> str | None:
        poc_url = info.data.get("poc_url")
        if value is None and poc_url is not None and poc_url.cluster is None:
            raise ValueError("is missing; the host of poc_url is not home-CLUSTER.DOMAIN, so nothing implies it")
        return value

    @property
    def templates(self) -> tuple[ChatTemplate, ...]:
        """The templates of the parameters."""
        return self.parameters

    @property
    def api(self) -> str:
        """The base URL of the API with its version, without a slash at its end."""
        if self.api_url is not None:
            return self.api_url
        cluster, domain = self.poc_url.cluster or ("", "")
        return f"https://api-{cluster}.{domain}/{_PATRON_API}"

    @property
    def token(self) -> str:
        """The URL that gives a token for the access key."""
        return self.token_url or f"https://{self.area}.nice-incontact.com/{_PATRON_TOKEN}"


ChatChannelConfig = Annotated[DfoChannelConfig | ByocChannelConfig | PatronChannelConfig, Field(discriminator="type")]
