/*
 * TCP and TLS connections: what comes over them, and of those that others open to us who may, how many, and when they have
 * to go. Everything here belongs to the SIP thread.
 */
#ifndef SIPBRIDGE_CONNECTIONS_HPP
#define SIPBRIDGE_CONNECTIONS_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

/**
 * Watch connections, `most` at once, half of them from one address; once, after Endpoint::libInit. Each is shown to
 * RequestGate::onConnection when it comes, unless we have called its address ourselves: a SIP agent may call back.
 *
 * If there are too many, those go first that have sent no message yet, of them the one longest without a ping. Others are
 * closed when it cannot be known where the next message begins (RFC 3261, 18.3), when a message takes too long to come,
 * and when the peer leaves too much unread. Calls go on: their next request opens a connection, or takes the peer's new one.
 */
void watchConnections(int most);
/** Take bytes that have come over a connection: process the messages that they complete, answer pings. */
void receiveFromConnection(pjsip_rx_data *rdata, const std::string &bytes);
/** Close connections whose message has taken too long. At each turn of the poll. */
void closeUnfinished();
/** How many there are. */
int openConnections();

}  // namespace sipbridge

#endif
