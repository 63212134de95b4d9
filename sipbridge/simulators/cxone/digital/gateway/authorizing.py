"""The events with which a client authorizes the customer and gets tokens."""

from __future__ import annotations

import re

from sipbridge.simulators.cxone.digital.gateway import frames
from sipbridge.simulators.cxone.digital.gateway.call import Call, Reply
from sipbridge.simulators.cxone.digital.gateway.frames import FrameError, Malformed
from sipbridge.simulators.cxone.digital.messages import Customer

_MESSAGE_PATH = re.compile(r"/chat/1\.0/brand/(\d+)/messages/[0-9a-f-]{36}")


def authorize(call: Call) -> Reply:
    """AuthorizeCustomer. Secured sessions have no such frame: their token is in the URL."""
    connection, channel, data = call.connection, call.channel, call.data
    if channel.secured_sessions:
        raise FrameError("ConsumerAuthorizationFailed", "the channel has secured sessions; the token is in the URL")
    for name in ("sdkPlatform", "sdkVersion"):
        frames.a_text(data, name)
    code = frames.optional_text(frames.an_object(data, "authorization"), "authorizationCode")
    reply: dict[str, object] = {"consumerIdentity": _identity(call.customer), "status": "success"}
    if channel.authorization:
        if not is_valid_code(code):
            raise FrameError("ConsumerAuthorizationFailed", "the authorizationCode is missing or invalid")
        reply["accessToken"] = _access_token(call)
    if data.get("disableChannelInfo") is not True:
        reply["channel"] = channel.as_config()
    connection.customer = call.customer
    connection.is_authorized = True
    call.gateway.known_customers.add((channel.id, call.customer.id))
    return "ConsumerAuthorized", reply


def is_valid_code(code: str | None) -> bool:
    """True if an authorization code is valid: any that does not start with "invalid"."""
    return bool(code) and not str(code).startswith("invalid")


def reconnect(call: Call) -> Reply:
    """ReconnectConsumer, on iOS ReconnectCustomer."""
    who = call.event_type.removeprefix("Reconnect")
    connection, channel = call.connection, call.channel
    if (channel.id, call.customer.id) not in call.gateway.known_customers:
        raise FrameError(f"{who}ReconnectionFailed", "the customer was not authorized before")
    if channel.authorization and not channel.secured_sessions:
        require_access_token(call, f"{who}ReconnectionFailed")
    connection.is_authorized = True
    return f"{who}Reconnected", {}


def refresh_token(call: Call) -> Reply:
    """RefreshToken."""
    require_access_token(call, "TokenRefreshingFailed")
    return "TokenRefreshed", {"accessToken": _access_token(call)}


def generate_authorization_token(call: Call) -> Reply:
    """GenerateAuthorizationToken: a Bearer token for the path of one message."""
    call.own_thread()
    path = frames.a_text(call.data, "url")
    found = _MESSAGE_PATH.fullmatch(path)
    if found is None or found[1] != str(call.gateway.channels.brand_id):
        raise Malformed("url must be the path of a message: /chat/1.0/brand/{id}/messages/{id}")
    gateway = call.gateway
    token = gateway.tokens.issue("message", call.channel_id, call.customer, gateway.settings.token_seconds, path=path)
    return "AuthorizationTokenGenerated", {"authorizationToken": {"token": token}}


def require_access_token(call: Call, failure: str) -> None:
    """Check the access token of an event. Raises `FrameError`."""
    value = (frames.optional_object(call.data, "accessToken") or {}).get("token")
    token = call.gateway.tokens.check(value, "access", call.channel_id)
    if token is None or token.customer.id != call.customer.id:
        raise FrameError(failure, "the accessToken is missing, unknown or expired")


def _identity(customer: Customer) -> dict[str, str]:
    return {
        "idOnExternalPlatform": customer.id,
        "firstName": customer.first_name,
        "lastName": customer.last_name,
    }


def _access_token(call: Call) -> dict[str, object]:
    seconds = call.gateway.settings.token_seconds
    token = call.gateway.tokens.issue("access", call.channel_id, call.customer, seconds)
    return {"token": token, "expiresIn": seconds}
