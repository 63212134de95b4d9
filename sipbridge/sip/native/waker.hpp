/*
 * The poll of the SIP thread, and what ends it early.
 */
#ifndef SIPBRIDGE_WAKER_HPP
#define SIPBRIDGE_WAKER_HPP

#include "events.hpp"

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

#include <vector>

namespace sipbridge {

/**
 * Run PJSIP until something happens that Python wants to know, wakeSipThread() is called, or the time is over; returns
 * what happened, in order. What happens within gatherMilliseconds of the first is waited for: a hand-over between
 * threads costs more than most messages do.
 */
std::vector<CallEvent> pollEvents(int milliseconds, int gatherMilliseconds);

/** Make wakeSipThread() work: once, after Endpoint::libInit. */
void openWaker() PJSUA2_THROW(pj::Error);
/** Before Endpoint::libDestroy. */
void closeWaker();
/** End the SIP thread's poll at once. From any thread; cheap, and does nothing where a wake-up is already due. */
void wakeSipThread();

}  // namespace sipbridge

#endif
