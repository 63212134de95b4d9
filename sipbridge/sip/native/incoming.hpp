/*
 * Received SIP messages: each transport delivers bytes, and PJSIP gets one whole message at a time, in a form that it
 * can parse. Requests that are not whole are refused. Call these on the SIP thread.
 */
#ifndef SIPBRIDGE_INCOMING_HPP
#define SIPBRIDGE_INCOMING_HPP

#include "framing.hpp"

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

/**
 * From now on refuse requests in a dialog that are not whole, before any other module sees them. The gate refuses those
 * outside a dialog, after it has checked their source. Call it once, after Endpoint::libInit.
 */
void watchIncoming();
/** The refusal of the request that is being processed; of the kind FrameMessage if it is not refused. */
const Frame &currentRefusal();
/**
 * Let PJSIP process a message; of a refused request, the part that a response needs. Headers that PJSIP cannot read are
 * hidden from it, or the request is refused (unreadable.hpp). EventUnreadable reports messages that get no response.
 */
void processFrame(pjsip_rx_data *rdata, Frame &frame);

}  // namespace sipbridge

#endif
