/*
 * How a dialog ends: whose message ended it, and whether it ever had audio. PJSUA reports only that it is disconnected, also
 * if PJSIP itself has sent the BYE: for an ACK that never came, an SDP answer that cannot be used, a session that expired.
 */
#ifndef SIPBRIDGE_ENDING_HPP
#define SIPBRIDGE_ENDING_HPP

#include <pjsua-lib/pjsua.h>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

/** True if the far end's BYE, CANCEL or final response is what disconnected the session. */
bool endedByPeer(const pjsip_inv_session *session, const pjsip_event *event);

/** True if the dialog has an audio line that both sides accept, and PJSIP is not ending it. On the SIP thread, at ACK or 2xx. */
bool isUsable(const pjsip_inv_session *session);

/** Forget what an earlier call in this slot of PJSUA's has heard. */
void forgetAudio(pjsua_call_id call);

/** A sum of AudioUse (native.hpp). */
int audioUse(pjsua_call_id call);

/** Take note of what offer and answer have agreed on. */
void noteAgreed(pjsua_call_id call);

/** PJSUA's callback of that name: the last moment at which a stream can be asked. */
void onStreamDestroyed(pjsua_call_id call, pjmedia_stream *stream, unsigned index);

}  // namespace sipbridge

#endif
