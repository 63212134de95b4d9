"""The REST API of the gateway: channel, availability, attachments, message bodies; and the tokens of OAuth."""

from __future__ import annotations

import base64
import binascii

import orjson
from aiohttp import web

from sipbridge.simulators.cxone.digital.gateway import frames
from sipbridge.simulators.cxone.digital.gateway.authorizing import is_valid_code
from sipbridge.simulators.cxone.digital.gateway.channels import Channel
from sipbridge.simulators.cxone.digital.gateway.frames import FrameError, Json
from sipbridge.simulators.cxone.digital.gateway.gateway import Gateway
from sipbridge.simulators.cxone.digital.gateway.sockets import GATEWAY
from sipbridge.simulators.cxone.digital.gateway.wire import a_case, a_message
from sipbridge.simulators.cxone.digital.messages import Customer
from sipbridge.simulators.cxone.endpoints import Refused, json_response
from sipbridge.simulators.cxone.models import Endpoint

_REFRESH_TOKEN_SECONDS = 30 * 86400
_MEGABYTE = 1024 * 1024


class ChatRefused(Refused):
    """A request that the gateway's REST API rejects, in its form."""

    def response(self) -> web.Response:
        """Return the error response."""
        return json_response({"error": {"errorCode": self.error, "errorMessage": str(self)}}, status=self.status)


def routes() -> list[web.RouteDef]:
    """Return the routes, each named after its endpoint."""
    channel = "/chat/1.0/brand/{brand}/channel/{channel}"
    return [
        web.get(channel, show_channel, name=Endpoint.CHAT_CHANNEL),
        web.get(f"{channel}/availability", show_availability, name=Endpoint.CHAT_AVAILABILITY),
        web.post(f"{channel}/attachment", upload, name=Endpoint.CHAT_ATTACHMENT),
        web.get("/chat/1.0/brand/{brand}/messages/{message}", show_message, name=Endpoint.CHAT_MESSAGE),
        web.post("/oauth/token", issue_token, name=Endpoint.CHAT_TOKEN),
        web.get("/simulator/objects/{id}/{name}", download, name=Endpoint.CHAT_FILE),
    ]


def _channel(request: web.Request, brand_id: str, channel_id: str) -> Channel:
    channel = request.app[GATEWAY].channels.find(brand_id, channel_id)
    if channel is None:
        raise ChatRefused(404, "NotFound", "there is no such brand and channel")
    return channel


def _channel_of_path(request: web.Request) -> Channel:
    return _channel(request, request.match_info["brand"], request.match_info["channel"])


async def _json(request: web.Request) -> Json:
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise ChatRefused(400, "InconsistentData", "the body must be a JSON object")
    return body


async def show_channel(request: web.Request) -> web.Response:
    """Return the configuration of a channel."""
    return json_response(_channel_of_path(request).as_config())


async def show_availability(request: web.Request) -> web.Response:
    """Return if a channel is online."""
    return json_response(_channel_of_path(request).as_availability())


async def upload(request: web.Request) -> web.Response:
    """Store an attachment within the limits of the channel and return its link."""
    channel, body = _channel_of_path(request), await _json(request)
    try:
        encoded, name, media_type = (frames.a_text(body, each) for each in ("content", "fileName", "mimeType"))
        content = base64.b64decode(encoded, validate=True)
    except (FrameError, binascii.Error) as error:
        raise ChatRefused(400, "InconsistentData", str(error)) from None
    is_allowed = channel.attachments and any(each.admits(media_type) for each in channel.file_types)
    if not is_allowed or len(content) > channel.max_file_megabytes * _MEGABYTE:
        return json_response(channel.file_limits, status=400)
    path = request.app[GATEWAY].objects.put(content, media_type, name)
    return json_response({"fileUrl": f"{request.url.origin()}{path}"})


async def download(request: web.Request) -> web.Response:
    """Return a stored file. A link needs no authorization."""
    found = request.app[GATEWAY].objects.get(request.match_info["id"])
    if found is None:
        raise web.HTTPNotFound
    return web.Response(body=found.body, headers={"Content-Type": found.media_type})


async def show_message(request: web.Request) -> web.Response:
    """Return a whole message, with the token that GenerateAuthorizationToken gave for this path."""
    gateway = request.app[GATEWAY]
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    for channel in gateway.channels.by_id:
        token = gateway.tokens.check(value, "message", channel) if scheme.lower() == "bearer" else None
        if token is None or token.path != request.path:
            continue
        for thread in gateway.threads.of_customer(channel, token.customer.id):
            for message in thread.messages:
                if message.id == request.match_info["message"]:
                    return json_response(a_message(message, thread))
        raise ChatRefused(404, "NotFound", "the customer has no such message")
    raise ChatRefused(401, "Unauthorized", "the Bearer token is missing, unknown or expired, or for another path")


async def issue_token(request: web.Request) -> web.Response:
    """Issue the token of a secured session, for an anonymous customer or one of a third party's login."""
    query, gateway = request.query, request.app[GATEWAY]
    if missing := [name for name in ("brandId", "channelId", "visitorId") if not query.get(name)]:
        raise ChatRefused(400, "InconsistentData", f"{missing[0]} is missing in the query")
    channel, body = _channel(request, query["brandId"], query["channelId"]), await _json(request)
    if not channel.secured_sessions:
        raise ChatRefused(400, "InconsistentData", "the channel has no secured sessions")
    if channel.authorization != ("thirdParty" in body):
        expected = "thirdParty" if channel.authorization else "customerIdentity"
        raise ChatRefused(400, "InconsistentData", f"the channel needs {expected}")
    try:
        if channel.authorization:
            customer = _customer_of_login(frames.an_object(body, "thirdParty"), gateway, channel)
        else:
            customer = frames.read_customer(frames.an_object(body, "customerIdentity"))
    except FrameError as error:
        raise ChatRefused(400, error.code, str(error)) from None
    return json_response(_token_response(gateway, channel, customer))


def _customer_of_login(grant: Json, gateway: Gateway, channel: Channel) -> Customer:
    match frames.a_text(grant, "grant_type"):
        case "authorization_code":
            code = frames.a_text(grant, "authorization_code")
            frames.optional_text(grant, "code_verifier")
            if not is_valid_code(code):
                raise ChatRefused(401, "ConsumerAuthorizationFailed", "the authorization_code is not valid")
            return Customer(f"third-party-{code}")
        case "refresh_token":
            token = gateway.tokens.check(frames.a_text(grant, "refresh_token"), "refresh", channel.id)
            if token is None:
                raise ChatRefused(401, "TokenRefreshingFailed", "the refresh_token is unknown or expired")
            return token.customer
        case _:
            raise frames.Malformed("grant_type must be authorization_code or refresh_token")


def _token_response(gateway: Gateway, channel: Channel, customer: Customer) -> dict[str, object]:
    seconds = gateway.settings.token_seconds
    response: dict[str, object] = {
        "accessToken": gateway.tokens.issue("transaction", channel.id, customer, seconds),
        "expiresIn": seconds,
        "customerIdentity": {
            "idOnExternalPlatform": customer.id,
            "firstName": customer.first_name,
            "lastName": customer.last_name,
        },
    }
    open_contacts = [each.current for each in gateway.threads.of_customer(channel.id, customer.id) if each.current]
    if open_contacts:
        response["contact"] = a_case(open_contacts[-1])
    if channel.authorization:
        response["thirdParty"] = {
            "access_token": "not-used-by-the-simulator",
            "expires_in": seconds,
            "refresh_token": gateway.tokens.issue("refresh", channel.id, customer, _REFRESH_TOKEN_SECONDS),
        }
    return response
