/*
 * The authors of host names: a name that a peer writes counts against that peer's share of lookups (sipbridge/dns.py).
 * Call these on the SIP thread.
 */
#ifndef SIPBRIDGE_PEERS_HPP
#define SIPBRIDGE_PEERS_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

#include <string>

namespace sipbridge {

/** Until the next call, host names come from this message; from the configuration if it is null. */
void setMessageInProgress(const pjsip_rx_data *rdata);

/**
 * The author of a name that PJSIP needs now, as two lines: the far end (the target of our INVITE, or the source address
 * of a call to us) and the Call-ID. Both are empty if the name comes from the configuration.
 */
std::string authorOfNames();

/** The same for a message of ours, whose destination its peer has named. */
std::string authorOfDestination(const pjsip_tx_data *tdata);

}  // namespace sipbridge

#endif
