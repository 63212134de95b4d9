/* Retries of our offers within a dialog that the far end has rejected, mostly of session refreshes (RFC 4028). */
#ifndef SIPBRIDGE_REFRESH_HPP
#define SIPBRIDGE_REFRESH_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

/** Repeat an offer that PJSUA made (one codec instead of several) if it got 491 because of an offer of the far end. */
void tryAgainAfterGlare(pjsua_call_id call, pjsip_transaction *transaction, pjsip_event *event);

}  // namespace sipbridge

#endif
