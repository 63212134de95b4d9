/*
 * SIP messages on their way in: each transport hands over bytes here, PJSIP gets whole messages, one by one, that it can
 * read, and what is not whole is refused. Everything here belongs to the SIP thread.
 */
#ifndef SIPBRIDGE_INCOMING_HPP
#define SIPBRIDGE_INCOMING_HPP

#include "framing.hpp"

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

/**
 * Refuse requests in a dialog that are not whole, before any other module sees them; once, after Endpoint::libInit. The
 * gate refuses those outside a dialog, after it has judged their source.
 */
void watchIncoming();
/** Why the request that is being processed is refused; FrameMessage as its kind if it is whole. */
const Frame &currentRefusal();
/**
 * Have PJSIP process a message, or of a refused request what a response needs. What PJSIP cannot read of it is hidden from
 * PJSIP, or the request is refused (unreadable.hpp); an EventUnreadable tells of those that got no response.
 */
void processFrame(pjsip_rx_data *rdata, Frame &frame);

}  // namespace sipbridge

#endif
