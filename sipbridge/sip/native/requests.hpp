/* Requests that a far end sends: the responses that PJSUA would give otherwise than the RFCs. */
#ifndef SIPBRIDGE_REQUESTS_HPP
#define SIPBRIDGE_REQUESTS_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

/**
 * The status by which a request is rejected for its method, 0 if it is served: 501 or 405, and outside a dialog (null) 481
 * if the method is for dialogs alone (RFC 3261, 15.1.2). SUBSCRIBE is judged by its event.
 */
int methodFault(const pjsip_dialog *dialog, const pjsip_msg *message);

/** PJSUA's callback for every transaction of a call: a request that is answered here PJSUA leaves alone. */
void onTransaction(pjsua_call_id call, pjsip_transaction *transaction, pjsip_event *event);

}  // namespace sipbridge

#endif
