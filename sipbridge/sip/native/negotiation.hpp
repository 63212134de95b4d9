/*
 * The SDP of PJSIP's messages: each dialog has an OfferAnswer, which reads what has come before PJSIP does, and writes
 * what goes out. The SIP thread's.
 */
#ifndef SIPBRIDGE_NEGOTIATION_HPP
#define SIPBRIDGE_NEGOTIATION_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

/** Once, after Endpoint::libInit. */
void watchDescriptions();
/** Read the offer of an INVITE that makes a new call, before PJSUA has it: only those that are admitted cost the work. */
void readNewOffer(pjsip_rx_data *rdata);
/** The dialog that PJSUA has made of that INVITE; before anything but 100 is answered. */
void keepNewOffer(pjsip_dialog *dialog);

}  // namespace sipbridge

#endif
