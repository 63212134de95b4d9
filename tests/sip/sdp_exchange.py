"""The SDP of one dialog, as it passes between PJSIP and the far end."""

from __future__ import annotations

from sipbridge_pjsip import pjsua2 as pj

from tests.harness.media.sdp import audio, description

DISABLED, OPTIONAL, MANDATORY = range(3)
KEY = "A" * 40
SUITE = "AES_CM_128_HMAC_SHA1_80"
GOOD = f"a=crypto:1 {SUITE} inline:{KEY}"
BAD = f"a=crypto:1 {SUITE} inline:{KEY}|2^31|1:4"
PLAIN, SECURE = "RTP/AVP", "RTP/SAVP"
OWN_PORT = 20000


class SdpExchange:
    """The bridge's side of the offers and answers of one dialog."""

    def __init__(self, srtp: int = DISABLED, codecs: str = "PCMU PCMA G722") -> None:
        self._exchange = pj.OfferAnswer(srtp, codecs)
        self._number = 0
        self._direction = "sendrecv"

    def receive_offer(self, *lines: str, session: tuple[str, ...] = (), connection: str = "c=IN IP4 127.0.0.1") -> str:
        """Return the part of an offer that PJSIP gets."""
        return self.receive_offer_text(description(lines, session=session, connection=connection))

    def receive_offer_text(self, sdp: str) -> str:
        """Return the part of an offer in text form that PJSIP gets."""
        self._number += 1
        return self._exchange.readOffer(sdp.encode(), self._number).decode()

    def send_answer(self, port: int = OWN_PORT, *lines: str) -> str:
        """Return PJSIP's answer to the last offer as the far end gets it."""
        return self._exchange.writeAnswer(self._own(port, lines), self._number).decode()

    def send_offer(self, port: int = OWN_PORT, *lines: str) -> str:
        """Return an offer of PJSIP as the far end gets it."""
        return self._exchange.writeOffer(self._own(port, lines)).decode()

    def receive_answer(self, *lines: str) -> str:
        """Return the part of an answer that PJSIP gets."""
        return self._exchange.readAnswer(description(lines).encode()).decode()

    def _own(self, port: int, lines: tuple[str, ...]) -> bytes:
        return description((*audio(port), *lines), version=70).encode()
