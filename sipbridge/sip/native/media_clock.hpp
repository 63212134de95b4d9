/*
 * The clock that moves all audio. No Python runs on its thread. Call these on the SIP thread.
 */
#ifndef SIPBRIDGE_MEDIA_CLOCK_HPP
#define SIPBRIDGE_MEDIA_CLOCK_HPP

#include "rate_limits.hpp"

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

/**
 * Start the thread that every 20 ms reads the received RTP and moves the conference's audio. Call it after
 * Endpoint::libStart.
 *
 * It replaces PJSUA's null sound device and PJMEDIA's thread for sockets. Because it knows when a turn is over, it can
 * wake the event loop once for the audio of all calls.
 */
void startMediaClock() PJSUA2_THROW(pj::Error);
/** Stop that thread. Call it before Endpoint::libDestroy. */
void stopMediaClock();

#ifndef SWIG
/** The time at which the conference's present turn was due: exactly 20 ms after the last one. For its ports. */
Clock::time_point turnTime();
#endif

}  // namespace sipbridge

#endif
