from __future__ import annotations

import pytest

from sipbridge.sip.offers import offers_audio

CODECS = ("PCMU", "PCMA")


@pytest.mark.parametrize(
    ("sdp", "offered"),
    [
        ("m=audio 4000 RTP/AVP 0\r\n", True),
        ("m=video 4002 RTP/AVP 96\r\nm=audio 4000 RTP/SAVP 18 8\r\n", True),
        ("m=audio 4000 RTP/SAVP 97\r\na=rtpmap:97 pcmu/8000\r\n", True),
        ("m=audio 4000 RTP/AVP 18\r\na=rtpmap:18 G729/8000\r\n", False),
        ("m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 G726-32/8000\r\n", False),
        ("m=video 4000 RTP/AVP 0\r\n", False),
        ("m=audio 4000 UDP/TLS/RTP/SAVPF 0\r\n", True),
        ("m=audio 4000/2 RTP/AVP 0\r\n", True),
        ("m=audio 0 RTP/AVP 0\r\n", False),
        ("m=audio 0 RTP/AVP 0\r\nm=audio 4000 RTP/AVP 8\r\n", True),
        ("m=audio 4000 TCP/RTP/AVP 0\r\n", False),
        ("m=audio 4000 TCP/TLS/RTP/SAVP 0\r\n", False),
        ("m=audio\r\nm=audio 4000\r\n", False),
        ("", False),
    ],
)
def test_an_offer_has_audio_over_rtp_with_a_codec_or_has_not(sdp: str, *, offered: bool) -> None:
    assert offers_audio(f"INVITE sip:a@b SIP/2.0\r\n\r\nv=0\r\n{sdp}".encode(), CODECS) is offered
