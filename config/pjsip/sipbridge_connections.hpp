/*
 * TCP and TLS connections that others open to us: who may, how many, and when they have to go.
 */
#ifndef SIPBRIDGE_CONNECTIONS_HPP
#define SIPBRIDGE_CONNECTIONS_HPP

#include "sipbridge_native.hpp"

namespace sipbridge {

/**
 * Watch connections, `most` at once, half of them from one address; once, after Endpoint::libInit. Each is shown to
 * RequestGate::onConnection when it comes, unless we have called its address ourselves: a SIP agent may call back.
 *
 * Where there are too many, those go first that have said nothing yet, the oldest of them. One on which it cannot be told
 * where a message ends (RFC 3261, 18.3) is closed: what follows would be read as something else.
 */
void watchConnections(int most);
/** How many there are. */
int openConnections();

}  // namespace sipbridge

#endif
