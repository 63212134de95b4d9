/*
 * INVITEs of ours that are hung up before any response: they can have no CANCEL yet (RFC 3261, 9.1), and are given up after
 * two seconds. Everything here belongs to the SIP thread.
 */
#ifndef SIPBRIDGE_UNHEARD_HPP
#define SIPBRIDGE_UNHEARD_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

/** Give this INVITE up in two seconds, if no response has come by then. */
void giveUpLater(const pjsip_transaction *invite);
/** Give up those that are due. */
void giveUpUnheard();

}  // namespace sipbridge

#endif
