/* The far end's REFERs and ours, and their outcome (RFC 3515). */
#ifndef SIPBRIDGE_TRANSFERS_HPP
#define SIPBRIDGE_TRANSFERS_HPP

#include "message.hpp"

namespace sipbridge {

/** Respond to a REFER with 202, and begin the subscription with a NOTIFY. The ticket is for notifyTransfer. */
void acceptRefer(pjsip_dialog *dialog, pjsip_rx_data *rdata, int ticket);

/**
 * Send the final NOTIFY with the outcome of the far end's REFER, if it has a subscription (RFC 4488) that still exists.
 */
void notifyTransfer(int ticket, int status, const std::string &reason) PJSUA2_THROW(pj::Error);

/**
 * Send a REFER. `referTo` is sent as it is, so it must be in angle brackets. Exactly one event with this number reports
 * the outcome: EventReferRejected or EventReferEnded.
 */
void callRefer(int call, int number, const std::string &referTo, const Headers &headers) PJSUA2_THROW(pj::Error);

}  // namespace sipbridge

#endif
