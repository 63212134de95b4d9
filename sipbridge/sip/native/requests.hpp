/* Requests of the far end within a dialog: the responses that the RFCs require, if PJSUA's would be others. */
#ifndef SIPBRIDGE_REQUESTS_HPP
#define SIPBRIDGE_REQUESTS_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

/**
 * The status for a method that is not served: 501 or 405, and outside a dialog (null) 481 for a method that needs a
 * dialog (RFC 3261, 15.1.2). 0 if it is served. For SUBSCRIBE, the event decides.
 */
int methodFault(const pjsip_dialog *dialog, const pjsip_msg *message);

/** PJSUA's callback for every transaction of a call. PJSUA ignores a request that gets its response here. */
void onTransaction(pjsua_call_id call, pjsip_transaction *transaction, pjsip_event *event);

}  // namespace sipbridge

#endif
