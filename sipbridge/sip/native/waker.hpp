/*
 * The poll of the SIP thread, and the socket that ends it early.
 */
#ifndef SIPBRIDGE_WAKER_HPP
#define SIPBRIDGE_WAKER_HPP

#include "events.hpp"

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

#include <vector>

namespace sipbridge {

/**
 * Run PJSIP until there is an event, wakeSipThread() is called or the time is over; return the events in order. If that
 * is less than `gatherMilliseconds` after the last time, it waits for the rest and gathers further events, because a
 * hand-over between threads costs more than most messages do. A lone event does not wait.
 */
std::vector<CallEvent> pollEvents(int milliseconds, int gatherMilliseconds);

/** Open the socket that wakeSipThread() uses. Call it once, after Endpoint::libInit. */
void openWaker() PJSUA2_THROW(pj::Error);
/** Close it. Call it before Endpoint::libDestroy. */
void closeWaker();
/** End the SIP thread's poll at once. Any thread may call it; it does nothing if a wake-up is already due. */
void wakeSipThread();

}  // namespace sipbridge

#endif
