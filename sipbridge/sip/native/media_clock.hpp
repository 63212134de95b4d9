/*
 * The clock that moves all audio. No Python runs on its thread. Call these on the SIP thread.
 */
#ifndef SIPBRIDGE_MEDIA_CLOCK_HPP
#define SIPBRIDGE_MEDIA_CLOCK_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

/**
 * Read the RTP that came and move the conference's audio, every 20 ms in a thread of its own, until stopMediaClock();
 * after Endpoint::libStart.
 *
 * It replaces PJSUA's null sound device, and knows when a turn is over: the event loop is woken once for its audio.
 * It replaces PJMEDIA's thread for sockets as well.
 */
void startMediaClock() PJSUA2_THROW(pj::Error);
/** Before Endpoint::libDestroy. */
void stopMediaClock();

}  // namespace sipbridge

#endif
