/*
 * Additions to pjsua2 for TLS and other connections: TLS listeners, dialogs that stay on a connection, and reports of
 * failed handshakes. Call these on the SIP thread.
 */
#ifndef SIPBRIDGE_TLS_HPP
#define SIPBRIDGE_TLS_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

#include <string>

namespace sipbridge {

/**
 * The settings of a listener for TLS 1.2 and 1.3, and of our own connections on its transport. Files are PEM. The
 * listener reads them with the first connection after it was opened or after renewCredentials(); each connection of
 * ours reads them when it opens.
 */
struct TlsListener {
    std::string host;           // empty for all interfaces
    int port = 0;               // 0 for any free port
    std::string publicAddress;  // empty if it is the host
    std::string certificateFile, privateKeyFile;
    // The authorities for certificates of servers, and of clients if those are required. One of the two is empty.
    std::string authoritiesFile, authoritiesDirectory;
    bool requireClientCertificate = false;
};

/** Open a listener; return PJSUA's number of its transport. Call it after installCallbacks() and watchConnections(). */
int openTls(const TlsListener &listener) PJSUA2_THROW(pj::Error);

/** Let every listener read its files again with its next connection. Open connections stay. */
void renewCredentials();

/**
 * Keep the connection of a dialog's INVITE open as long as the dialog, and send the dialog's requests over it (RFC
 * 5923). PJSIP would close its own connections after 33 s without a message. Our Contact names the connection, so a BYE
 * of the far end would be lost, and our own requests would open another connection to the far end's Contact, which is
 * often an address that no certificate has. Do nothing for UDP, or if the Contact has another transport.
 */
void stayOnConnection(pjsip_dialog *dialog, pjsip_transport *transport);

/**
 * Let a dialog whose connection has closed stay on the connection by which its peer has come back. Call it after a
 * request of the peer.
 */
void returnToConnection(pjsip_dialog *dialog, pjsip_transport *transport);

/** Note a new state of any transport, TLS or not. watchConnections() has PJSUA's callback for all of them. */
void noteTlsState(pjsip_transport *transport, pjsip_transport_state state, const pjsip_transport_state_info *info);

}  // namespace sipbridge

#endif
