from __future__ import annotations

import errno

import pytest
from sipbridge_pjsip import pjsua2 as pj

from sipbridge.sip.pjsip_errors import explain, put_in_words


@pytest.mark.parametrize(
    ("status", "reason", "explanation"),
    [
        (120_000 + errno.EADDRINUSE, "Address already in use (PJ_X)", "address already in use"),
        (120_000 + errno.EPIPE, "Broken pipe", "broken pipe"),
        (171_039, "Invalid URI (PJSIP_EINVALIDURI)", "the URI is not valid"),
        (70_007, "Too many objects of the specified type (PJ_ETOOMANY)", "too many at once"),
    ],
)
def test_an_error_of_pjsip_is_explained(status: int, reason: str, explanation: str) -> None:
    error = pj.Error()
    error.status, error.reason = status, reason
    assert explain(error) == explanation


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("Connection refused", "connection refused"),
        ("End of file (PJ_EEOF)", "the peer closed the connection"),
        ("wrong version number", "the peer does not speak TLS"),
        (
            "SSL certificate verification error [PJSIP_TLS_ECERTVERIF]",
            "its certificate is not accepted; the log line tls_failed says why",
        ),
        (
            "The certificate is untrusted; The certificate has been revoked",
            "the certificate is untrusted; the certificate has been revoked",
        ),
        ("TLS is too old", "TLS is too old"),
        ("", ""),
    ],
)
def test_an_error_text_becomes_a_clause_without_symbols(text: str, clause: str) -> None:
    assert put_in_words(text) == clause
