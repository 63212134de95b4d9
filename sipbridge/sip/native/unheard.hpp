/*
 * Our INVITEs that are hung up before any response: they cannot be cancelled yet (RFC 3261, 9.1), and are given up
 * after two seconds. Call these on the SIP thread.
 */
#ifndef SIPBRIDGE_UNHEARD_HPP
#define SIPBRIDGE_UNHEARD_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

/** Give up this INVITE in two seconds if no response has come by then. */
void giveUpLater(const pjsip_transaction *invite);
/** Give up the INVITEs that are due. Each poll calls it. */
void giveUpUnheard();

}  // namespace sipbridge

#endif
