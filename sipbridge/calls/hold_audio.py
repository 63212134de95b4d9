"""The audio that a caller hears on hold: after the agent's last words, and until a human agent takes them."""

from __future__ import annotations

import asyncio
import logging

from sipbridge.aio import cancel_and_wait
from sipbridge.calls.ports.sip import Leg
from sipbridge.errors import LegEnded

logger = logging.getLogger(__name__)


class HoldAudio:
    """Plays a looped clip on a leg from `start` to `stop`, or to the end of the leg."""

    def __init__(self, leg: Leg) -> None:
        self._leg = leg
        self._playing: asyncio.Task[None] | None = None

    def start(self, clip: str | None) -> None:
        """Play a looped clip, if there is one and none is playing."""
        if clip is not None and self._playing is None:
            self._playing = asyncio.create_task(self._play(clip))

    async def stop(self) -> None:
        """Stop at once; what the leg is commanded next follows the audio. May be called at any time."""
        playing, self._playing = self._playing, None
        if playing is not None:
            await cancel_and_wait(playing)

    async def _play(self, clip: str) -> None:
        try:
            await self._leg.play(clip)
        except LegEnded:
            return
        except Exception:
            # The caller hears silence; the handoff goes on.
            logger.exception("hold audio not played", extra={"event": "internal_error"})
