/*
 * TCP and TLS connections: the bytes that they receive, and the limits of connections to us. Call these on the SIP
 * thread.
 */
#ifndef SIPBRIDGE_CONNECTIONS_HPP
#define SIPBRIDGE_CONNECTIONS_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

/**
 * From now on watch all connections. Peers may have `most` at once, half of them from one address.
 * RequestGate::onConnection decides about each new one, unless we have connected to its address ourselves, since a SIP
 * agent may call back. Call it once, after Endpoint::libInit.
 *
 * At the limit, a connection that has sent no message is closed; of several, the one longest without a ping. Any
 * connection is closed if the beginning of its next message cannot be found (RFC 3261, 18.3), if a message does not end
 * in time, or if the peer leaves too much unread. Its calls go on: their next request opens another connection, or uses
 * a new one of the peer.
 */
void watchConnections(int most) PJSUA2_THROW(pj::Error);
/** Process received bytes: pass on the messages that they complete, and respond to pings. */
void receiveFromConnection(pjsip_rx_data *rdata, const std::string &bytes);
/** Close connections whose message has not ended in time. Each poll calls it. */
void closeUnfinished();
/** The number of connections that peers have opened. */
int openConnections();

}  // namespace sipbridge

#endif
