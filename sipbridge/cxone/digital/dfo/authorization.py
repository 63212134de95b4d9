"""The authorization of a chat's customer at the gateway, and the token that keeps it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sipbridge.cxone.digital.dfo.connection import Connection, GatewayError, GatewayLost
from sipbridge.cxone.digital.dfo.frames import FrameMaker, Person
from sipbridge.cxone.digital.dfo.parts import GatewayParts
from sipbridge.cxone.digital.dfo.rest import SessionToken
from sipbridge.cxone.digital.values import Json, object_of, seconds_of, text_of
from sipbridge.errors import ChannelRefused

REPLY_SECONDS = 10.0
MAX_REFUSALS = 3  # one after the other; then the chat is given up
REFRESH_AT = 0.9  # of a token's life

_NOT_AUTHORIZED = (
    "ConsumerAuthorizationFailed",
    "CustomerAuthorizationFailed",
    "ConsumerReconnectionFailed",
    "CustomerReconnectionFailed",
)
_REFUSED = ("InconsistentData", "SdkVersionNotSupported")


class Authorization:
    """Authorizes the customer on each connection. `resumed`: an earlier run has done so before.

    `token` goes with messages; None if the gateway gave none.
    """

    def __init__(self, maker: FrameMaker, parts: GatewayParts, *, resumed: bool) -> None:
        self.token: str | None = None
        self._maker = maker
        self._parts = parts
        self._is_known = resumed
        self._refusals = 0
        self._renewal: asyncio.TimerHandle | None = None

    async def session_token(self, person: Person) -> SessionToken:
        """Get a token of a secured session. Raises `ChannelRefused` if it is refused for good, and `GatewayLost`."""
        try:
            token = await self._parts.session_token(person)
        except ChannelRefused:
            self._note_refusal()
            raise GatewayLost("the token service refused the customer") from None
        self._refusals = 0
        return token

    async def begin(self, connection: Connection, session_token: SessionToken | None, *, secured: bool | None) -> None:
        """Authorize on a new connection. That of a secured session is authorized by its token already.

        `secured` is None if it is not known that the channel needs no token: then a refusal is not final.
        Raises `ChannelRefused` if the gateway refuses for good, `GatewayError` or `GatewayLost`.
        """
        if session_token is not None:
            # It is renewed by another connection, with another token.
            self._use(session_token.value, session_token.seconds, connection.close)
            return
        try:
            made = self._maker.reconnect(self.token) if self._is_known else self._maker.authorize()
            reply = await connection.request(made, REPLY_SECONDS)
        except GatewayError as error:
            self._is_known = False
            if secured is not None:
                self._check(error)
            raise
        self._is_known = True
        self._refusals = 0
        self._use_access_token(object_of(reply.data.get("accessToken")), connection)

    def end(self) -> None:
        """Stop the renewal, as the connection has ended."""
        if self._renewal is not None:
            self._renewal.cancel()

    def _check(self, error: GatewayError) -> None:
        """Raise `ChannelRefused` if there is no use in trying again."""
        if error.code in _REFUSED:
            raise ChannelRefused("refused") from None
        if error.code in _NOT_AUTHORIZED:
            self._note_refusal()

    def _note_refusal(self) -> None:
        self._refusals += 1
        if self._refusals >= MAX_REFUSALS:
            raise ChannelRefused("not_authorized") from None

    def _use_access_token(self, given: Json, connection: Connection) -> None:
        token = text_of(given.get("token"))
        if token:
            self._use(
                token,
                seconds_of(given.get("expiresIn")) or 0.0,
                lambda: self._parts.background(self._refresh(connection)),
            )

    def _use(self, token: str, seconds: float, renew: Callable[[], object]) -> None:
        """Use a token, and renew it before it expires."""
        self.token = token
        self.end()
        if seconds > 0:
            self._renewal = asyncio.get_running_loop().call_later(seconds * REFRESH_AT, renew)

    async def _refresh(self, connection: Connection) -> None:
        """Get another access token. If that fails, the next connection is authorized from the start."""
        try:
            reply = await connection.request(self._maker.refresh_token(self.token or ""), REPLY_SECONDS)
        except (GatewayError, GatewayLost) as error:
            self._parts.fault("token_not_refreshed", f"the token was not refreshed: {error}")
            self._is_known = False
            connection.close()
        else:
            self._use_access_token(object_of(reply.data.get("accessToken")), connection)
