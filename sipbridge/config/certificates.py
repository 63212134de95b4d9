"""Checks of certificate files: if they can be used, and for how long."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from sipbridge.config.agents import WebsocketAgentConfig
from sipbridge.config.problems import Problem

if TYPE_CHECKING:
    from sipbridge.config.models import Config, TlsConfig

_SECTION = ("sip", "tls")
# The ssl module's reasons for a certificate and a key that do not match, of the same type and of different types.
_MISMATCH = ("KEY_VALUES_MISMATCH", "NO_CERTIFICATE_ASSIGNED")


def authority_problems(config: Config) -> Iterator[Problem]:
    """Find agents whose `ca_file` holds no authority."""
    for key, project in config.voice_projects():
        agent = project.agent
        if isinstance(agent, WebsocketAgentConfig) and agent.ca_file and not _holds_certificate(agent.ca_file):
            yield Problem((*key.path, "agent", "ca_file"), "holds no certificate; give a PEM file of the authority")


def certificate_problems(tls: TlsConfig) -> Iterator[Problem]:
    """Find everything in the files that would make a TLS handshake fail."""
    if tls.ca_file is not None and not _holds_certificate(tls.ca_file):
        yield Problem((*_SECTION, "ca_file"), "holds no certificate; give a PEM file of the authorities")
    certificate, key = tls.certificate_file, tls.private_key_file
    if certificate is None or key is None:
        return
    if not _holds_certificate(certificate):
        yield Problem(
            (*_SECTION, "certificate_file"), "holds no certificate; give a PEM file, with those of the intermediates"
        )
        return
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        server.load_cert_chain(certificate, key, _refuse_to_ask)
    except (OSError, ValueError) as error:
        yield _key_problem(error)
        return
    try:
        _expiry(server, certificate)
    except ssl.SSLCertVerificationError as error:
        text = f"cannot be used: {error.verify_message}; renew it"
        yield Problem((*_SECTION, "certificate_file"), text)
    except ssl.SSLError as error:
        text = f"cannot be used: {error.reason}; give another"
        yield Problem((*_SECTION, "certificate_file"), text)


def valid_until(tls: TlsConfig) -> datetime | None:
    """Return when the certificate expires, in UTC; None if there is none, or none that can be used."""
    if tls.certificate_file is None or tls.private_key_file is None:
        return None
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        server.load_cert_chain(tls.certificate_file, tls.private_key_file, _refuse_to_ask)
        return _expiry(server, tls.certificate_file)
    except (OSError, ValueError):
        return None


def _holds_certificate(file: Path) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except (OSError, ValueError):
        return False
    return True


def _refuse_to_ask() -> NoReturn:
    """Raise `ValueError` instead of asking for a passphrase at the terminal, as ssl would."""
    raise ValueError("is encrypted; give a key without a passphrase, in a file that only the bridge can read")


def _key_problem(error: OSError | ValueError) -> Problem:
    if not isinstance(error, OSError):
        text = str(error)
    elif isinstance(error, ssl.SSLError) and error.reason in _MISMATCH:
        text = "does not belong to the certificate in sip.tls.certificate_file; give the key of that certificate"
    else:
        text = "holds no private key that can be used; give a PEM file"
    return Problem((*_SECTION, "private_key_file"), text)


def _expiry(server: ssl.SSLContext, certificate: Path) -> datetime:
    """Return when a certificate expires; raise `ssl.SSLError` if its dates or its purpose are wrong."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(certificate)
    return expires_at(_shake_hands(server, client))


def seen_by(tls: TlsConfig, client: ssl.SSLContext) -> Mapping[str, object]:
    """Return our certificate as a client with this context sees it (`ssl.SSLSocket.getpeercert`).

    Raises `ssl.SSLError` if the client does not trust it, `OSError` or `ValueError` if the files cannot be used.
    """
    if tls.certificate_file is None or tls.private_key_file is None:
        raise ValueError("sip.tls has no certificate")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tls.certificate_file, tls.private_key_file, _refuse_to_ask)
    return _shake_hands(server, client)


def own_client(tls: TlsConfig) -> ssl.SSLContext:
    """Return the context of a client on this machine: it trusts our certificate itself, and presents it if asked to.

    The name in the certificate is that of the outside, so it is not checked. Raises `OSError` or `ValueError`.
    """
    context = ssl.create_default_context(cafile=tls.certificate_file)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if tls.certificate_file is not None and tls.private_key_file is not None:
        context.load_cert_chain(tls.certificate_file, tls.private_key_file, _refuse_to_ask)
    return context


def expires_at(certificate: Mapping[str, object]) -> datetime:
    """Return when a certificate expires, in UTC."""
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> Mapping[str, object]:
    """Return the server's certificate as the client sees it. Raises `ssl.SSLError` if it does not trust it.

    The standard library parses no certificate outside a handshake. So the two shake hands in memory.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    # The client's hello, the server's certificate, the client's verification of it.
    for end in (*ends, ends[0]):
        with suppress(ssl.SSLWantReadError):
            end.do_handshake()
    return ends[0].getpeercert() or {}
