#include "tls.hpp"
#include "events.hpp"
#include "message.hpp"

#include <set>

#define THIS_FILE "tls.cpp"

// In ssl_sock_ossl.c (patches/0020): a listener with another value makes its SSL_CTX again.
extern "C" int pj_ssl_sock_credentials;

namespace sipbridge {

// PJSUA2_RAISE_ERROR needs these names in scope.
using pj::Error;
using std::string;

namespace {

// The time limit of a handshake. Without it, a peer could open connections and send nothing.
const long HANDSHAKE_SECONDS = 10;

bool isTls(const pjsip_transport *transport) {
    return (transport->key.type & ~PJSIP_TRANSPORT_IPV6) == PJSIP_TRANSPORT_TLS;
}

// ---------------------------------------------------------------- failures

// The faults of the client's certificate in the current handshake. They are known before that fails.
pj_uint32_t clientFaults = 0;
// Connections that were established: their end is not a failed handshake.
std::set<const pjsip_transport *> established;
// Connections that a dialog uses or has used. The end of any other connection needs no search through all calls.
std::set<const pjsip_transport *> carrying;

/** The reason of a failure: the faults of a certificate, else the error text of the system or of OpenSSL. */
string reasonOf(pj_uint32_t faults, pj_status_t status) {
    if (!faults) {
        char text[PJ_ERR_MSG_SIZE];
        return textOf(pj_strerror(status, text, sizeof(text)));
    }
    const char *faultTexts[32];
    unsigned count = PJ_ARRAY_SIZE(faultTexts);
    pj_ssl_cert_get_verify_status_strings(faults, faultTexts, &count);
    string reason;
    for (unsigned i = 0; i < count; ++i)
        reason.append(i ? "; " : "").append(faultTexts[i]);
    return reason;
}

/**
 * Check a client's certificate within the handshake. A client that is refused there gets the reason as an alert, and
 * has no session that it could resume.
 */
pj_bool_t checkClient(const pjsip_tls_on_verify_param *param) {
    // A server is checked after the handshake, together with its name.
    if (param->tp_dir == PJSIP_TP_DIR_OUTGOING)
        return PJ_TRUE;
    pj_ssl_sock_info info;
    pj_ssl_sock_get_info(param->ssock, &info);
    clientFaults = info.verify_status;
    return clientFaults == PJ_SSL_CERT_ESUCCESS;
}

void onAcceptFailed(const pjsip_tls_on_accept_fail_param *param) {
    char address[PJ_INET6_ADDRSTRLEN];
    pj_sockaddr_print(param->remote_addr, address, sizeof(address), 0);
    push(EventTlsRefused, -1, pj_sockaddr_get_port(param->remote_addr), 0,
         string(address) + "\n" + reasonOf(clientFaults, param->status));
    clientFaults = 0;
}

/** Release a closed connection from its dialogs. Their next request opens another one. */
void releaseFromDialogs(const pjsip_transport *transport) {
    if (!carrying.erase(transport))
        return;
    pjsip_tpselector any;
    pj_bzero(&any, sizeof(any));
    for (unsigned i = 0; i < pjsua_var.ua_cfg.max_calls; ++i) {
        const pjsip_inv_session *session = pjsua_var.calls[i].inv;
        if (session && session->dlg && session->dlg->tp_sel.type == PJSIP_TPSELECTOR_TRANSPORT &&
            session->dlg->tp_sel.u.transport == transport)
            pjsip_dlg_set_transport(session->dlg, &any);
    }
}

void reportFailure(const pjsip_transport *transport, const pjsip_transport_state_info *info) {
    const auto *tls = static_cast<const pjsip_tls_state_info *>(info->ext_info);
    push(EventTlsFailed, -1, pj_sockaddr_get_port(&transport->key.rem_addr), 0,
         textOf(transport->remote_name.host) + "\n" +
             reasonOf(tls ? tls->ssl_sock_info->verify_status : 0, info->status));
}

}  // namespace

void noteTlsState(pjsip_transport *transport, pjsip_transport_state state, const pjsip_transport_state_info *info) {
    if (state == PJSIP_TP_STATE_CONNECTED && isTls(transport)) {
        established.insert(transport);
    } else if (state == PJSIP_TP_STATE_DISCONNECTED) {
        releaseFromDialogs(transport);
        if (!established.erase(transport) && isTls(transport) && transport->dir == PJSIP_TP_DIR_OUTGOING)
            reportFailure(transport, info);
    } else if (state == PJSIP_TP_STATE_DESTROY) {
        established.erase(transport);
        carrying.erase(transport);
    }
}

// ---------------------------------------------------------------- listeners

int openTls(const TlsListener &listener) {
    // Far ends respond to sips: with a Contact of sip: and transport=tls. PJSIP would end such a call.
    pjsip_cfg()->endpt.disable_secure_dlg_check = PJ_TRUE;
    pjsua_transport_config config;
    pjsua_transport_config_default(&config);
    config.port = static_cast<unsigned>(listener.port);
    config.bound_addr = pj_str(const_cast<char *>(listener.host.c_str()));
    config.public_addr = pj_str(const_cast<char *>(listener.publicAddress.c_str()));
    pjsip_tls_setting &tls = config.tls_setting;
    tls.cert_file = pj_str(const_cast<char *>(listener.certificateFile.c_str()));
    tls.privkey_file = pj_str(const_cast<char *>(listener.privateKeyFile.c_str()));
    tls.ca_list_file = pj_str(const_cast<char *>(listener.authoritiesFile.c_str()));
    tls.ca_list_path = pj_str(const_cast<char *>(listener.authoritiesDirectory.c_str()));
    tls.proto = PJ_SSL_SOCK_PROTO_TLS1_2 | PJ_SSL_SOCK_PROTO_TLS1_3;
    tls.verify_server = PJ_TRUE;
    tls.verify_client = tls.require_client_cert = listener.requireClientCertificate ? PJ_TRUE : PJ_FALSE;
    tls.on_verify_cb = listener.requireClientCertificate ? &checkClient : NULL;
    tls.on_accept_fail_cb = &onAcceptFailed;
    tls.enable_renegotiation = PJ_FALSE;
    // Connections from before a restart stay in TIME_WAIT and would keep the port in use.
    tls.reuse_addr = PJ_TRUE;
    tls.timeout.sec = HANDSHAKE_SECONDS;
    pjsua_transport_id number = PJSUA_INVALID_ID;
    PJSUA2_CHECK_EXPR(pjsua_transport_create(PJSIP_TRANSPORT_TLS, &config, &number));
    return number;
}

void renewCredentials() { ++pj_ssl_sock_credentials; }

// ---------------------------------------------------------------- dialogs

void stayOnConnection(pjsip_dialog *dialog, pjsip_transport *transport) {
    if (!transport || !(transport->flag & PJSIP_TRANSPORT_RELIABLE) || transport->is_shutdown ||
        dialog->tp_sel.type == PJSIP_TPSELECTOR_TRANSPORT)
        return;
    if (!PJSIP_URI_SCHEME_IS_SIP(dialog->target) && !PJSIP_URI_SCHEME_IS_SIPS(dialog->target))
        return;
    const auto *target = static_cast<const pjsip_sip_uri *>(pjsip_uri_get_uri(dialog->target));
    // A dialog that began with sips: must stay on TLS, whatever transport its Contact has (RFC 5630, 3.1.3).
    if (!dialog->secure && target->transport_param.slen &&
        pj_stricmp2(&target->transport_param, transport->type_name) != 0)
        return;
    pjsip_tpselector connection;
    pj_bzero(&connection, sizeof(connection));
    connection.type = PJSIP_TPSELECTOR_TRANSPORT;
    connection.u.transport = transport;
    carrying.insert(transport);
    pjsip_dlg_set_transport(dialog, &connection);
}

void returnToConnection(pjsip_dialog *dialog, pjsip_transport *transport) {
    if (!dialog->local.contact || !PJSIP_URI_SCHEME_IS_SIP(dialog->local.contact->uri))
        return;
    // Our Contact has the transport of the INVITE.
    const auto *ours = static_cast<const pjsip_sip_uri *>(pjsip_uri_get_uri(dialog->local.contact->uri));
    if (pj_stricmp2(&ours->transport_param, transport->type_name) == 0)
        stayOnConnection(dialog, transport);
}

}  // namespace sipbridge
