/*
 * What sipbridge adds to pjsua2 for TLS: listeners, connections that a dialog stays on, and what is told of those that
 * failed. Everything here belongs to the SIP thread.
 */
#ifndef SIPBRIDGE_TLS_HPP
#define SIPBRIDGE_TLS_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

#include <string>

namespace sipbridge {

/**
 * A listener for TLS 1.2 and 1.3, and what connections to others on its transport show and check. Files are PEM. The
 * listener reads them with the first connection after it was opened or after renewCredentials(); connections to others
 * read them each.
 */
struct TlsListener {
    std::string host;           // empty for all interfaces
    int port = 0;               // 0 takes a free one
    std::string publicAddress;  // empty where it is the host
    std::string certificateFile, privateKeyFile;
    // The authorities that servers are checked against, and clients where they must show a certificate: one of the two.
    std::string authoritiesFile, authoritiesDirectory;
    bool requireClientCertificate = false;
};

/** Open a listener; returns PJSUA's number of the transport. After takeCallbacks() and watchConnections(). */
int openTls(const TlsListener &listener) PJSUA2_THROW(pj::Error);

/** Have every listener read its files anew with its next connection. Connections that are there go on. */
void renewCredentials();

/**
 * Send the requests of a dialog over the connection that its INVITE used, while that is there (RFC 5923). Else each BYE
 * would open a connection to the Contact, which is often an address that no certificate names. Nothing without TLS, and
 * nothing where the Contact asks for another transport.
 */
void stayOnConnection(pjsip_dialog *dialog, pjsip_transport *transport);

/** Take in what has become of a transport, TLS or not; watchConnections() hears of all. */
void noteTlsState(pjsip_transport *transport, pjsip_transport_state state, const pjsip_transport_state_info *info);

}  // namespace sipbridge

#endif
