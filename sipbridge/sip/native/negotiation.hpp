/*
 * The SDP of PJSIP's messages: each dialog has an OfferAnswer, which reads received SDP before PJSIP does and writes
 * the SDP that we send. Call these on the SIP thread.
 */
#ifndef SIPBRIDGE_NEGOTIATION_HPP
#define SIPBRIDGE_NEGOTIATION_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

/** From now on read and write the SDP of all dialogs. Call it once, after Endpoint::libInit. */
void watchDescriptions() PJSUA2_THROW(pj::Error);
/** Read the offer of an admitted INVITE for a new call, before PJSUA does. */
void readNewOffer(pjsip_rx_data *rdata);
/** Give that offer to the dialog that PJSUA has made of the INVITE, before any response other than 100. */
void keepNewOffer(pjsip_dialog *dialog);

}  // namespace sipbridge

#endif
