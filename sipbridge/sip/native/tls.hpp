/*
 * What sipbridge adds to pjsua2 for TLS, and for connections in general: listeners, dialogs that stay on a connection,
 * and what is told of one that failed. Everything here belongs to the SIP thread.
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

/** Open a listener; returns PJSUA's number of the transport. After installCallbacks() and watchConnections(). */
int openTls(const TlsListener &listener) PJSUA2_THROW(pj::Error);

/** Have every listener read its files again with its next connection. Open connections stay. */
void renewCredentials();

/**
 * Keep the connection that a dialog's INVITE used for as long as the dialog, and send the dialog's requests over it
 * (RFC 5923). PJSIP would close one of its own after 33 s without a message, and it is what our Contact names: a BYE
 * of the far end would be lost. And one of ours would open another connection, to a Contact that often is an address
 * which no certificate names. Nothing with UDP, and nothing where the Contact asks for another transport.
 */
void stayOnConnection(pjsip_dialog *dialog, pjsip_transport *transport);

/**
 * Have a dialog that was on a connection, which is gone, stay on the one over which its peer has come back. After a request
 * of the peer's.
 */
void returnToConnection(pjsip_dialog *dialog, pjsip_transport *transport);

/** Take in what has become of a transport, TLS or not; watchConnections() hears of all. */
void noteTlsState(pjsip_transport *transport, pjsip_transport_state state, const pjsip_transport_state_info *info);

}  // namespace sipbridge

#endif
