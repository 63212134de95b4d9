/*
 * The authors of host names: a name that a peer writes counts against that peer's share of lookups (sipbridge/dns).
 * Call these on the SIP thread.
 */
#ifndef SIPBRIDGE_PEERS_HPP
#define SIPBRIDGE_PEERS_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

#include <string>

namespace sipbridge {

/** Until the next call, host names come from this message; from the dialog of a command or a timer if it is null. */
void setMessageInProgress(const pjsip_rx_data *rdata);

/**
 * The author of a name that PJSIP needs now, as two lines: the far end of the dialog (sources.hpp) and the Call-ID. Both
 * are empty for the host of a URI that we call, whose dialog begins later.
 */
std::string authorOfNames();

/** The same for a message of ours, whose destination its peer has named. */
std::string authorOfDestination(const pjsip_tx_data *tdata);

}  // namespace sipbridge

#endif
