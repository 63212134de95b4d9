"""TLS on the trunk: which clients are accepted, over which connections requests go, and how certificates change."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from tests.harness.certificates import Authority, Pair
from tests.harness.media.g711 import MULAW_SILENCE
from tests.harness.programs.simulator import Simulator
from tests.harness.sip.tls_caller import SipConnection, offer
from tests.harness.waiting import wait_for

from .secure_site import SecureSite, secure_site

TLS_1_2, TLS_1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
both_versions = pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[SecureSite]:
    with secure_site(tmp_path_factory.mktemp("tls"), cxone, srtp="optional") as running:
        yield running


@pytest.fixture
def own_site(tmp_path: Path, cxone: Simulator) -> Iterator[SecureSite]:
    """A site of its own, for tests that replace its files."""
    with secure_site(tmp_path, cxone, srtp="optional") as running:
        yield running


def rejection_alert(site: SecureSite, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> str:
    """Return the alert's reason for rejecting a client. With TLS 1.3 the client receives it when it reads."""
    with pytest.raises(ssl.SSLError) as caught, site.connect(context, session=session) as connection:
        connection.options()
    return str(caught.value.reason)


@both_versions
def test_a_client_with_a_certificate_of_the_authority_is_accepted(site: SecureSite, version: ssl.TLSVersion) -> None:
    with site.connect(site.context(site.guest, version=version)) as connection:
        assert connection.options() == 200
        assert connection.socket.version() == str(version.name).replace("_", ".")
        cipher = connection.socket.cipher()
    assert cipher is not None
    assert "GCM" in cipher[0] or "CHACHA20" in cipher[0]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_older_versions_are_rejected(site: SecureSite, version: ssl.TLSVersion) -> None:
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context = site.context(site.guest, version=version)
    # OpenSSL 3 offers these only at its lowest security level.
    context.set_ciphers("ALL:@SECLEVEL=0")
    assert rejection_alert(site, context) == "TLSV1_ALERT_PROTOCOL_VERSION"


@pytest.mark.parametrize("suite", ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256", "NULL", "aNULL"])
def test_suites_without_forward_secrecy_or_authenticated_encryption_are_rejected(site: SecureSite, suite: str) -> None:
    context = site.context(site.guest, version=TLS_1_2)
    context.set_ciphers(f"{suite}:@SECLEVEL=0")
    assert rejection_alert(site, context) == "SSLV3_ALERT_HANDSHAKE_FAILURE"


@both_versions
def test_a_client_without_a_certificate_is_rejected(site: SecureSite, version: ssl.TLSVersion) -> None:
    alert = {TLS_1_2: "SSLV3_ALERT_HANDSHAKE_FAILURE", TLS_1_3: "TLSV13_ALERT_CERTIFICATE_REQUIRED"}[version]

    def is_logged() -> bool:
        assert rejection_alert(site, site.context(None, version=version)) == alert
        return "peer did not return a certificate" in site.log()

    # The failures of earlier tests may have used up the lines of this second for this address.
    wait_for(is_logged, "the log line")


@both_versions
def test_a_client_of_another_authority_is_rejected_and_cannot_resume(
    site: SecureSite, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    stranger = Authority(tmp_path, "stranger").issue("stranger")
    context = site.context(stranger, version=version)

    def is_logged() -> bool:
        assert rejection_alert(site, context) == "TLSV1_ALERT_UNKNOWN_CA"
        return "failed: the certificate is untrusted" in site.log()

    wait_for(is_logged, "the log line")  # which earlier tests may have used up, as above
    # With 1.3 a handshake completes at the client before it does at the server.
    if version is TLS_1_3:
        with site.connect(context) as connection, pytest.raises(ssl.SSLError):
            connection.options()
        assert connection.socket.session is None or not connection.socket.session.has_ticket


def test_a_client_whose_certificate_has_expired_is_rejected(site: SecureSite) -> None:
    expired = site.authority.issue("expired", "guest.test", expires=datetime.now(UTC) - timedelta(days=1))
    assert rejection_alert(site, site.context(expired)) == "SSLV3_ALERT_CERTIFICATE_EXPIRED"


def test_a_server_that_asks_for_no_client_certificates_accepts_clients_of_any_authority(
    tmp_path: Path, cxone: Simulator
) -> None:
    with secure_site(tmp_path, cxone, srtp="disabled", require=False) as site:
        for shown in (None, site.guest, Authority(tmp_path, "stranger").issue("stranger")):
            with site.connect(site.context(shown)) as connection:
                assert connection.options() == 200


def test_requests_of_a_call_use_its_own_connection(site: SecureSite) -> None:
    # A Contact at which nothing listens, without a hint of TLS.
    with site.connect(contact="sip:caller@192.0.2.1:5061") as connection:
        answer, contact_id = site.invite(connection, offer(9))
        assert answer.status == 200
        agent = site.agent.next_call()
        agent.send_at_once(MULAW_SILENCE)  # an agent without audio before the hang-up counts as lost
        agent.hang_up()
        assert connection.answer("BYE").status == 0
        assert site.project.ended_call(contact_id)["reason"] == "agent_ended"


def test_requests_to_an_agent_use_the_connection_of_its_invite(tmp_path: Path, cxone: Simulator) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as threads:
        server.settimeout(10)
        uri = f"sip:agent@127.0.0.1:{server.getsockname()[1]};transport=tcp"
        with secure_site(tmp_path, cxone, srtp="disabled", agent_uri=uri) as site, site.connect() as caller:
            placing = threads.submit(site.invite, caller, offer(9))
            connected, _ = server.accept()
            with SipConnection(connected) as agent:
                invite = agent.receive()
                answer = {"To": f"{invite.header('To')};tag=agent", "Contact": "<sip:agent@192.0.2.1>"}
                agent.respond(invite, {**answer, "Content-Type": "application/sdp"}, offer(9))
                assert agent.receive().method == "ACK"
                assert placing.result()[0].status == 200
                assert caller.bye() == 200
                agent.answer("BYE")


def test_a_call_ends_although_its_connection_was_lost(site: SecureSite) -> None:
    with site.connect() as connection:
        answer, contact_id = site.invite(connection, offer(9))
        assert answer.status == 200
        agent = site.agent.next_call()
    agent.send_at_once(MULAW_SILENCE)
    agent.hang_up()
    assert site.project.ended_call(contact_id)["ended_by"] == "agent"
    site.bridge.wait_until_idle()


# ---------------------------------------------------------------- new files


def put(pair: Pair, place: Pair) -> None:
    """Replace the files of a certificate."""
    shutil.copy(pair.certificate, place.certificate)
    shutil.copy(pair.key, place.key)


def reload(site: SecureSite) -> None:
    """Reload the configuration."""
    os.kill(site.bridge.program.pid, signal.SIGHUP)


def presents_certificate_of(site: SecureSite, authority: Authority) -> bool:
    """True if a new connection gets a certificate of that authority."""
    try:
        with site.connect(site.context(site.guest, authority)) as connection:
            return connection.options() == 200
    except ssl.SSLCertVerificationError:
        return False


def test_new_certificates_serve_new_connections_once_they_match_their_key(own_site: SecureSite, tmp_path: Path) -> None:
    renewed = Authority(tmp_path, "renewed")
    with own_site.call() as call:
        put(renewed.issue("bridge"), own_site.own)
        assert presents_certificate_of(own_site, own_site.authority)  # until the reload
        reload(own_site)
        wait_for(lambda: presents_certificate_of(own_site, renewed), "the new certificate")
        assert not presents_certificate_of(own_site, own_site.authority)
        assert call.sip.options() == 200
        call.agent.send_at_once(b"\x12" * 1600)
        wait_for(lambda: b"\x12" * 160 in {audio for _, audio in call.caller.audio}, "audio of the live call")
    shutil.copy(renewed.issue("other").key, own_site.own.key)
    reload(own_site)
    wait_for(lambda: "not reloaded: " in own_site.log(), "the log line")
    assert "sip.tls.private_key_file: does not belong to the certificate" in own_site.log()
    assert presents_certificate_of(own_site, renewed)


def test_a_file_without_tls_waits_for_a_restart_though_its_certificates_are_deleted(own_site: SecureSite) -> None:
    file = own_site.folder / "bridge.yaml"
    settings = yaml.safe_load(file.read_text())
    settings["sip"].update(listen=["tcp://127.0.0.1:0"], tls={})
    file.write_text(yaml.safe_dump(settings))
    for gone in (own_site.own.certificate, own_site.own.key, own_site.authority.file):
        gone.rename(f"{gone}.gone")
    reload(own_site)
    wait_for(lambda: "sip.tls.certificate_file: changed, which takes effect with a restart" in own_site.log(), "reload")
    assert "not reloaded" not in own_site.log()
    Path(f"{own_site.authority.file}.gone").rename(own_site.authority.file)  # for the caller
    with own_site.connect() as connection:
        assert connection.options() == 200


def test_new_authorities_apply_to_new_connections(own_site: SecureSite, tmp_path: Path) -> None:
    others = Authority(tmp_path, "others")
    guest = others.issue("guest", "guest.test")
    with own_site.connect() as connection:
        assert connection.options() == 200
        shutil.copy(others.file, own_site.authority.file)
        own = own_site.context(None)  # trusts the new one, by now
        own.load_verify_locations(
            cadata=ssl.DER_cert_to_PEM_cert(connection.socket.getpeercert(binary_form=True) or b"")
        )
        own.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        own.load_cert_chain(guest.certificate, guest.key)
        reload(own_site)

        def is_let_in() -> bool:
            try:
                with own_site.connect(own) as new:
                    return new.options() == 200
            except ssl.SSLError:
                return False

        wait_for(is_let_in, "the new authority")
        own.load_cert_chain(own_site.guest.certificate, own_site.guest.key)
        assert rejection_alert(own_site, own) == "TLSV1_ALERT_UNKNOWN_CA"
        assert connection.options() == 200
