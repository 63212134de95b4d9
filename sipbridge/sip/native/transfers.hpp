/* REFERs, the far end's and ours, and what becomes of them (RFC 3515). */
#ifndef SIPBRIDGE_TRANSFERS_HPP
#define SIPBRIDGE_TRANSFERS_HPP

#include "message.hpp"

namespace sipbridge {

/** Answer a REFER with 202 and open the subscription with the first NOTIFY; its ticket is for notifyTransfer. */
void acceptRefer(pjsip_dialog *dialog, pjsip_rx_data *rdata, int ticket);

/** Tell the far end, by the final NOTIFY, what became of its REFER; nothing where it wants none (RFC 4488) or is gone. */
void notifyTransfer(int ticket, int status, const std::string &reason) PJSUA2_THROW(pj::Error);

/**
 * Send REFER; referTo goes out as given, so it is in angle brackets. Exactly one event with this number tells the end:
 * EventReferRejected, or EventReferEnded.
 */
void callRefer(int call, int number, const std::string &referTo, const Headers &headers) PJSUA2_THROW(pj::Error);

}  // namespace sipbridge

#endif
