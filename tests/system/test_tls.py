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
from tests.harness.sip.tls_caller import SipLine, offer
from tests.harness.waiting import wait_for

from .secure_site import SecureSite, secure_site

TLS_1_2, TLS_1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
both_versions = pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, cxone: Simulator) -> Iterator[SecureSite]:
    with secure_site(tmp_path_factory.mktemp("tls"), cxone, srtp="optional") as running:
        yield running


@pytest.fixture
def changing(tmp_path: Path, cxone: Simulator) -> Iterator[SecureSite]:
    """A site of its own, for tests that replace its files."""
    with secure_site(tmp_path, cxone, srtp="optional") as running:
        yield running


def refusal(site: SecureSite, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> str:
    """Return the alert's reason for rejecting a client. With TLS 1.3 the client receives it when it reads."""
    with pytest.raises(ssl.SSLError) as caught, site.line(context, session=session) as line:
        line.options()
    return str(caught.value.reason)


@both_versions
def test_a_client_with_a_certificate_of_the_authority_is_accepted(site: SecureSite, version: ssl.TLSVersion) -> None:
    with site.line(site.context(site.guest, version=version)) as line:
        assert line.options() == 200
        assert line.socket.version() == str(version.name).replace("_", ".")
        cipher = line.socket.cipher()
    assert cipher is not None
    assert "GCM" in cipher[0] or "CHACHA20" in cipher[0]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_older_versions_are_rejected(site: SecureSite, version: ssl.TLSVersion) -> None:
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context = site.context(site.guest, version=version)
    # OpenSSL 3 offers these only at its lowest security level.
    context.set_ciphers("ALL:@SECLEVEL=0")
    assert refusal(site, context) == "TLSV1_ALERT_PROTOCOL_VERSION"


@pytest.mark.parametrize("suite", ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256", "NULL", "aNULL"])
def test_suites_without_forward_secrecy_or_authenticated_encryption_are_rejected(site: SecureSite, suite: str) -> None:
    context = site.context(site.guest, version=TLS_1_2)
    context.set_ciphers(f"{suite}:@SECLEVEL=0")
    assert refusal(site, context) == "SSLV3_ALERT_HANDSHAKE_FAILURE"


@both_versions
def test_a_client_without_a_certificate_is_rejected(site: SecureSite, version: ssl.TLSVersion) -> None:
    alert = {TLS_1_2: "SSLV3_ALERT_HANDSHAKE_FAILURE", TLS_1_3: "TLSV13_ALERT_CERTIFICATE_REQUIRED"}[version]
    assert refusal(site, site.context(None, version=version)) == alert
    wait_for(lambda: "peer did not return a certificate" in site.log(), "the log line")


@both_versions
def test_a_client_of_another_authority_is_rejected_and_cannot_resume(
    site: SecureSite, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    stranger = Authority(tmp_path, "stranger").issue("stranger")
    context = site.context(stranger, version=version)
    assert refusal(site, context) == "TLSV1_ALERT_UNKNOWN_CA"
    # With 1.3 a handshake completes at the client before it does at the server.
    if version is TLS_1_3:
        with site.line(context) as line, pytest.raises(ssl.SSLError):
            line.options()
        assert line.socket.session is None or not line.socket.session.has_ticket
    wait_for(lambda: "failed: the certificate is untrusted" in site.log(), "the log line")


def test_a_client_whose_certificate_has_expired_is_rejected(site: SecureSite) -> None:
    expired = site.authority.issue("expired", "guest.test", expires=datetime.now(UTC) - timedelta(days=1))
    assert refusal(site, site.context(expired)) == "SSLV3_ALERT_CERTIFICATE_EXPIRED"


def test_a_server_that_asks_for_no_client_certificates_accepts_clients_of_any_authority(
    tmp_path: Path, cxone: Simulator
) -> None:
    with secure_site(tmp_path, cxone, srtp="disabled", require=False) as site:
        for shown in (None, site.guest, Authority(tmp_path, "stranger").issue("stranger")):
            with site.line(site.context(shown)) as line:
                assert line.options() == 200


def test_requests_of_a_call_use_its_own_connection(site: SecureSite) -> None:
    # A Contact at which nothing listens, without a hint of TLS.
    with site.line(contact="sip:caller@192.0.2.1:5061") as line:
        answer, contact_id = site.invite(line, offer(9))
        assert answer.status == 200
        agent = site.agent.next_call()
        agent.say_at_once(MULAW_SILENCE)  # an agent without audio before the hang-up counts as lost
        agent.hang_up()
        assert line.answer("BYE").status == 0
        assert site.project.ended_call(contact_id)["reason"] == "agent_ended"


def test_requests_to_an_agent_use_the_connection_of_its_invite(tmp_path: Path, cxone: Simulator) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as threads:
        server.settimeout(10)
        uri = f"sip:agent@127.0.0.1:{server.getsockname()[1]};transport=tcp"
        with secure_site(tmp_path, cxone, srtp="disabled", agent_uri=uri) as site, site.line() as caller:
            placing = threads.submit(site.invite, caller, offer(9))
            connected, _ = server.accept()
            with SipLine(connected) as agent:
                invite = agent.receive()
                answer = {"To": f"{invite.header('To')};tag=agent", "Contact": "<sip:agent@192.0.2.1>"}
                agent.respond(invite, {**answer, "Content-Type": "application/sdp"}, offer(9))
                assert agent.receive().method == "ACK"
                assert placing.result()[0].status == 200
                assert caller.bye() == 200
                agent.answer("BYE")


def test_a_call_ends_although_its_connection_was_lost(site: SecureSite) -> None:
    with site.line() as line:
        answer, contact_id = site.invite(line, offer(9))
        assert answer.status == 200
        agent = site.agent.next_call()
    agent.say_at_once(MULAW_SILENCE)
    agent.hang_up()
    assert site.project.ended_call(contact_id)["ended_by"] == "agent"
    site.bridge.wait_for_metric(0, "sipbridge_calls_active")


# ---------------------------------------------------------------- new files


def put(pair: Pair, place: Pair) -> None:
    """Replace the files of a certificate."""
    shutil.copy(pair.certificate, place.certificate)
    shutil.copy(pair.key, place.key)


def reload(site: SecureSite) -> None:
    """Reload the configuration."""
    os.kill(site.bridge.program.pid, signal.SIGHUP)


def shown(site: SecureSite, authority: Authority) -> bool:
    """True if a new connection gets a certificate of that authority."""
    try:
        with site.line(site.context(site.guest, authority)) as line:
            return line.options() == 200
    except ssl.SSLCertVerificationError:
        return False


def test_new_certificates_serve_new_connections_once_they_match_their_key(changing: SecureSite, tmp_path: Path) -> None:
    renewed = Authority(tmp_path, "renewed")
    with changing.call() as call:
        put(renewed.issue("bridge"), changing.own)
        assert shown(changing, changing.authority)  # until the reload
        reload(changing)
        wait_for(lambda: shown(changing, renewed), "the new certificate")
        assert not shown(changing, changing.authority)
        assert call.line.options() == 200
        call.agent.say_at_once(b"\x12" * 1600)
        wait_for(lambda: b"\x12" * 160 in {audio for _, audio in call.caller.audio}, "audio of the live call")
    shutil.copy(renewed.issue("other").key, changing.own.key)
    reload(changing)
    wait_for(lambda: "not reloaded: " in changing.log(), "the log line")
    assert "sip.tls.private_key_file: does not belong to the certificate" in changing.log()
    assert shown(changing, renewed)


def test_a_file_without_tls_waits_for_a_restart_though_its_certificates_are_deleted(changing: SecureSite) -> None:
    file = changing.folder / "bridge.yaml"
    settings = yaml.safe_load(file.read_text())
    settings["sip"].update(listen=["tcp://127.0.0.1:0"], tls={})
    file.write_text(yaml.safe_dump(settings))
    for gone in (changing.own.certificate, changing.own.key, changing.authority.file):
        gone.rename(f"{gone}.gone")
    reload(changing)
    wait_for(lambda: "sip.tls.certificate_file: changed, which takes effect with a restart" in changing.log(), "reload")
    assert "not reloaded" not in changing.log()
    Path(f"{changing.authority.file}.gone").rename(changing.authority.file)  # for the caller
    with changing.line() as line:
        assert line.options() == 200


def test_new_authorities_apply_to_new_connections(changing: SecureSite, tmp_path: Path) -> None:
    others = Authority(tmp_path, "others")
    guest = others.issue("guest", "guest.test")
    with changing.line() as line:
        assert line.options() == 200
        shutil.copy(others.file, changing.authority.file)
        own = changing.context(None)  # trusts the new one, by now
        own.load_verify_locations(cadata=ssl.DER_cert_to_PEM_cert(line.socket.getpeercert(binary_form=True) or b""))
        own.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        own.load_cert_chain(guest.certificate, guest.key)
        reload(changing)

        def is_let_in() -> bool:
            try:
                with changing.line(own) as new:
                    return new.options() == 200
            except ssl.SSLError:
                return False

        wait_for(is_let_in, "the new authority")
        own.load_cert_chain(changing.guest.certificate, changing.guest.key)
        assert refusal(changing, own) == "TLSV1_ALERT_UNKNOWN_CA"
        assert line.options() == 200
