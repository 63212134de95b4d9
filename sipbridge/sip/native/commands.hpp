/*
 * The commands on calls. Call these on the SIP thread.
 */
#ifndef SIPBRIDGE_COMMANDS_HPP
#define SIPBRIDGE_COMMANDS_HPP

#include "message.hpp"

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

#include <string>
#include <vector>

namespace sipbridge {

/** Respond to an INVITE. Like all functions below, it refuses a header that contains a line break, with pj::Error. */
void callAnswer(int call, int status, const Headers &headers) PJSUA2_THROW(pj::Error);
/**
 * End a call in any state; `status` is for a call that has not been answered. Our INVITE cannot be cancelled before its
 * first response (RFC 3261, 9.1). If none comes within two seconds, the INVITE is given up: PJSIP would resend it for
 * half a minute, and the call would keep its slot.
 */
void callHangup(int call, int status, const std::string &reason, const Headers &headers) PJSUA2_THROW(pj::Error);
/**
 * Send an INVITE to a target in the form that resolved() takes; return the call. Messages from `sources` are accepted
 * as the far end's (wentTo). With a username, the dialog responds to challenges (useCredentials).
 */
int callDial(int account, const std::string &uri, const std::string &target, const std::vector<std::string> &sources,
             const std::string &localUri, const Headers &headers, const std::string &username,
             const std::string &password) PJSUA2_THROW(pj::Error);

/**
 * Send a DTMF digit: as an RFC 4733 event if the far end supports telephone-event, else by INFO. PJMEDIA queues 32
 * digits; further ones are dropped.
 */
void callDigit(int call, int digit) PJSUA2_THROW(pj::Error);
/**
 * The conference slot of the call's audio; -1 if it has none. Do not keep the number: PJMEDIA gives a free slot to the
 * next call at once, so a number that was kept, even in an event, may be the slot of another call.
 */
int callAudio(int call);
/**
 * The received bytes that wait in the fullest UDP socket for SIP, as the kernel counts them: with its own overhead,
 * about 2,300 per message. 0 if the kernel does not report it (before Linux 4.12).
 */
int bytesWaiting();
/** The number of further calls that PJSUA has slots for. A call that has ended may keep its slot for some seconds. */
int freeCalls();
/** The Call-ID of a call; empty if its dialog has ended. */
std::string sipCallId(int call);
/** The number of RTP packets of audio received so far; -1 while none are expected (on hold, or no audio yet). */
int callPackets(int call);

}  // namespace sipbridge

#endif
