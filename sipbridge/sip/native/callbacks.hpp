/*
 * PJSUA's callbacks for calls. Everything here belongs to the SIP thread.
 */
#ifndef SIPBRIDGE_CALLBACKS_HPP
#define SIPBRIDGE_CALLBACKS_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

/**
 * Take PJSUA's callbacks for calls away from pjsua2, and queue them for pollEvents; once, after Endpoint::libInit.
 *
 * pjsua2 copies the whole message and the SDP as text for every callback and takes the GIL for each. Here a call costs
 * Python one look at a list.
 */
void installCallbacks();

}  // namespace sipbridge

#endif
