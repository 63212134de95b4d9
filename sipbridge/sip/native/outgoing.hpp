/*
 * Additions to PJSUA for our own calls: credentials, and the Contacts of a 3xx. Call these on the SIP thread.
 */
#ifndef SIPBRIDGE_OUTGOING_HPP
#define SIPBRIDGE_OUTGOING_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

#include <string>

namespace sipbridge {

/** Use credentials for the challenges of a dialog's requests, in any realm (RFC 3261, 22; RFC 8760). */
void useCredentials(pjsip_dialog *dialog, const std::string &username, const std::string &password);

/** PJSUA's callback for a target of a 3xx. It follows none, so that the call ends with the 3xx as its cause. */
pjsip_redirect_op onRedirected(pjsua_call_id call, const pjsip_uri *target, const pjsip_event *event);

/**
 * The Contacts of a 3xx, one `Contact: <URI>` per line, in the order of preference (RFC 3261, 8.1.3.4). Headers and
 * `method` of the URIs are left out, because we make the next INVITE ourselves. Empty if the event is not a 3xx.
 */
std::string redirection(const pjsip_event *event);

}  // namespace sipbridge

#endif
