/*
 * PJSUA's callbacks for calls. They run on the SIP thread.
 */
#ifndef SIPBRIDGE_CALLBACKS_HPP
#define SIPBRIDGE_CALLBACKS_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

/**
 * Replace pjsua2's callbacks for calls by functions that queue events for pollEvents. Call it once, after
 * Endpoint::libInit.
 *
 * For each callback, pjsua2 takes the GIL and copies the whole message and the SDP as text. Here Python reads one list
 * of events per poll.
 */
void installCallbacks();

}  // namespace sipbridge

#endif
