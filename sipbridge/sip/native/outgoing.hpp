/*
 * What sipbridge adds to PJSUA for calls of ours: credentials, and where a 3xx points. Everything here belongs to the SIP
 * thread.
 */
#ifndef SIPBRIDGE_OUTGOING_HPP
#define SIPBRIDGE_OUTGOING_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

#include <string>

namespace sipbridge {

/** Answer the challenges of a dialog's requests, of any realm (RFC 3261, 22; RFC 8760). */
void useCredentials(pjsip_dialog *dialog, const std::string &username, const std::string &password);

/** PJSUA's callback for a target of a 3xx: none is followed here, so that the call ends with the 3xx as its cause. */
pjsip_redirect_op onRedirected(pjsua_call_id call, const pjsip_uri *target, const pjsip_event *event);

/**
 * The Contacts of the 3xx that an event brings, `Contact: <URI>` a line, best first (RFC 3261, 8.1.3.4). Headers and
 * `method` of the URIs are left out: the next INVITE is ours. Empty where the event brings no 3xx.
 */
std::string redirection(const pjsip_event *event);

}  // namespace sipbridge

#endif
