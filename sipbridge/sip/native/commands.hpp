/*
 * The commands on calls. Everything here belongs to the SIP thread.
 */
#ifndef SIPBRIDGE_COMMANDS_HPP
#define SIPBRIDGE_COMMANDS_HPP

#include "message.hpp"

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

#include <string>
#include <vector>

namespace sipbridge {

/** Answer an incoming call. Like all below it refuses, with pj::Error, a header that would break its line. */
void callAnswer(int call, int status, const Headers &headers) PJSUA2_THROW(pj::Error);
/**
 * End a call whatever its state; status is for one that is not answered yet. An INVITE of ours that nothing was heard of
 * can have no CANCEL yet (RFC 3261, 9.1). Where still nothing is heard two seconds later it is given up: PJSIP would send
 * it for half a minute, and the call keep its place.
 */
void callHangup(int call, int status, const std::string &reason, const Headers &headers) PJSUA2_THROW(pj::Error);
/**
 * Send an INVITE to a target, as resolved() has them; returns the call. `sources` may speak for its far end (wentTo).
 * With a username its dialog answers challenges (useCredentials).
 */
int callDial(int account, const std::string &uri, const std::string &target, const std::vector<std::string> &sources,
             const std::string &localUri, const Headers &headers, const std::string &username,
             const std::string &password) PJSUA2_THROW(pj::Error);

/** Send a DTMF digit: by RFC 4733 if the far end has telephone-event, else by INFO. PJMEDIA queues 32; more are dropped. */
void callDigit(int call, int digit) PJSUA2_THROW(pj::Error);
/**
 * The conference slot of the call's audio, -1 where it has none. To be asked each time: PJMEDIA gives a slot to the next
 * call as soon as it is free, so that one which was kept, even in an event, may belong to another call.
 */
int callAudio(int call);
/**
 * Bytes of what has come by UDP and waits to be read, at the fullest of the SIP sockets: as the kernel counts it, with
 * its own overhead, some 2,300 a message. 0 where it does not tell (before Linux 4.12).
 */
int bytesWaiting();
/** How many more calls PJSUA has room for; one that ends may keep its place for some seconds. */
int freeCalls();
/** The Call-ID of a call; empty if its dialog has ended. */
std::string sipCallId(int call);
/** RTP packets of audio that came so far; -1 while none are due (on hold, or no audio yet). */
int callPackets(int call);

}  // namespace sipbridge

#endif
