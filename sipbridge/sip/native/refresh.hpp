/* Offers of ours within a dialog that a far end has rejected: a session's refreshes first of all (RFC 4028). */
#ifndef SIPBRIDGE_REFRESH_HPP
#define SIPBRIDGE_REFRESH_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

/** Let PJSUA make an offer of its own (one codec instead of several) again if it met the far end's (491). */
void tryAgainAfterGlare(pjsua_call_id call, pjsip_transaction *transaction, pjsip_event *event);

}  // namespace sipbridge

#endif
