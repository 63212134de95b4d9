"""The conversation's transcript, posted to CXone's transcript service (TMS) for the human agent.

Source: no published specification; the fields are those that integrations in production send to
`POST /aai/tms/transcripts/post`.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

import orjson

from sipbridge.calls.model import CallRecord
from sipbridge.config import CxoneConfig
from sipbridge.cxone.breaker import Breaker
from sipbridge.cxone.tokens import TokenSource
from sipbridge.errors import HttpError
from sipbridge.http import HttpClient

_PATH = "/aai/tms/transcripts/post"
_ACCEPTED = (200, 201, 202, 204)
_PARTICIPANTS = {"agent": "Bot", "caller": "Patron"}

logger = logging.getLogger(__name__)


class TranscriptPoster:
    """Posts the transcripts of one client, each once: a second post would show the same text twice."""

    def __init__(
        self,
        client: str,
        config: CxoneConfig,
        http: HttpClient,
        tokens: TokenSource,
        breaker: Breaker,
        *,
        vendor_id: str,
        timeout_seconds: float,
    ) -> None:
        self._client = client
        self._business_unit = config.business_unit
        self._http = http
        self._tokens = tokens
        self._breaker = breaker
        self._vendor_id = vendor_id
        self._timeout = timeout_seconds

    async def post(self, record: CallRecord, *, escalated: bool) -> bool:
        """Post the record's transcript for its main contact within the time limit; return True if CXone accepted it.

        Post nothing and return False if nothing was said, the main contact is unknown, or CXone is down.
        """
        lines = transcript_lines(record)
        if not lines or not record.main_contact_id.strip() or self._breaker.is_open:
            return False
        body = orjson.dumps(self._body(record, lines, escalated=escalated))
        try:
            async with asyncio.timeout(self._timeout):
                status = await self._send(body)
        except (HttpError, TimeoutError) as error:
            detail = str(error) or "no response in time"
        else:
            if status in _ACCEPTED:
                return True
            detail = str(status)
        extra = {"event": "cxone_transcript", "client": self._client, "contact_id": record.main_contact_id}
        logger.warning("transcript not accepted: %s", detail, extra=extra)
        return False

    async def _send(self, body: bytes) -> int:
        access = await self._tokens.get()
        response = await self._http.post_for_head(access.api_url, _PATH, access.json_headers, body, self._timeout)
        # 401 only: a 403 may also mean that the tenant has no TMS, and would then need a new token per call.
        if response.status == 401:  # noqa: PLR2004 (401 Unauthorized)
            self._tokens.drop(access)
        return response.status

    def _body(self, record: CallRecord, lines: list[dict[str, str]], *, escalated: bool) -> dict[str, Any]:
        return {
            "vendorId": self._vendor_id,
            "busId": self._business_unit,
            "virtualAgentId": "",
            "contactId": record.main_contact_id.strip(),
            "contactState": "SELF_SERVICE",
            "mediaType": "Voice",
            "selfServiceSessionDetails": {
                "transcriptPublishSettingOption": "PUBLISH_TRANSCRIPTS_ONLY",
                "sessionCompletionType": "ESCALATED" if escalated else "CONTAINED",
                "sessionCompletionDetails": record.handoff.reason if record.handoff else record.reason,
                "transcriptSummary": "",
                "transcripts": lines,
            },
        }


def transcript_lines(record: CallRecord) -> list[dict[str, str]]:
    """Return the turns in the format of TMS, without those that have no text.

    A turn without a time gets the time of the turn before it, or of the call's answer if it is the first.
    """
    lines = []
    at = record.answered_at or record.started_at
    for turn in record.transcript:
        at = turn.at or at
        if turn.text.strip():
            lines.append(
                {
                    "participantId": _PARTICIPANTS[turn.role],
                    "messageBody": turn.text,
                    "messageContentType": "TRANSCRIPT",
                    "utcDateTime": _utc_without_zone(at),
                }
            )
    return lines


def _utc_without_zone(at: datetime) -> str:
    """Return `YYYY-MM-DDTHH:MM:SS.mmm`."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
