from __future__ import annotations

import errno
from types import SimpleNamespace

import pytest

from sipbridge.sip.pjsip_errors import explain, put_in_words


@pytest.mark.parametrize(
    ("status", "reason", "said"),
    [
        (120_000 + errno.EADDRINUSE, "Address already in use (PJ_X)", "address already in use"),
        (120_000 + errno.EPIPE, "Broken pipe", "broken pipe"),
        (171_039, "Invalid URI (PJSIP_EINVALIDURI)", "the URI is not valid"),
        (70_007, "Too many objects of the specified type (PJ_ETOOMANY)", "too many at once"),
    ],
)
def test_a_status_of_pjsip_is_put_in_words(status: int, reason: str, said: str) -> None:
    assert explain(SimpleNamespace(status=status, reason=reason)) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Connection refused", "connection refused"),
        ("End of file (PJ_EEOF)", "the peer closed the connection"),
        ("wrong version number", "the peer does not speak TLS"),
        (
            "SSL certificate verification error [PJSIP_TLS_ECERTVERIF]",
            "its certificate is refused; the line tls_failed says why",
        ),
        (
            "The certificate is untrusted; The certificate has been revoked",
            "the certificate is untrusted; the certificate has been revoked",
        ),
        ("TLS is too old", "TLS is too old"),
        ("", ""),
    ],
)
def test_a_text_becomes_a_clause_without_symbols(text: str, said: str) -> None:
    assert put_in_words(text) == said
