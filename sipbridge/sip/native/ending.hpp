/*
 * The end of a dialog: which side ended it, and whether it ever had audio. PJSUA reports only that a dialog is
 * disconnected, even if PJSIP itself sent the BYE: because no ACK came, the SDP answer was unusable or the session
 * expired.
 */
#ifndef SIPBRIDGE_ENDING_HPP
#define SIPBRIDGE_ENDING_HPP

#include <pjsua-lib/pjsua.h>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

/** True if a BYE, a CANCEL or a final response of the far end ended the session. */
bool endedByPeer(const pjsip_inv_session *session, const pjsip_event *event);

/** True if both sides accept an audio line and PJSIP is not ending the dialog. Call it at the ACK or 2xx. */
bool isUsable(const pjsip_inv_session *session);

/** Reset the audio use of a PJSUA slot for a new call. */
void forgetAudio(pjsua_call_id call);

/** The audio use of a call: a sum of AudioUse (events.hpp). */
int audioUse(pjsua_call_id call);

/** Note whether offer and answer let the far end send audio. */
void noteAgreed(pjsua_call_id call);

/** PJSUA's callback of that name: the last moment at which the statistics of a stream can be read. */
void onStreamDestroyed(pjsua_call_id call, pjmedia_stream *stream, unsigned index);

}  // namespace sipbridge

#endif
