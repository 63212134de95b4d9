/* Requests that a far end sends within a dialog: the responses that PJSUA would give otherwise than the RFCs. */
#ifndef SIPBRIDGE_REQUESTS_HPP
#define SIPBRIDGE_REQUESTS_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

/** PJSUA's callback for every transaction of a call: a request that is answered here PJSUA leaves alone. */
void onTransaction(pjsua_call_id call, pjsip_transaction *transaction, pjsip_event *event);

}  // namespace sipbridge

#endif
