/*
 * The audio of PJSUA's calls: their RTP streams, and their slots in the conference. Call these on the SIP thread.
 */
#ifndef SIPBRIDGE_CALL_AUDIO_HPP
#define SIPBRIDGE_CALL_AUDIO_HPP

#include <pjsua-lib/pjsua.h>

namespace sipbridge {

const unsigned PCMU = 0, PCMA = 8;  // payload types (RFC 3551, 6)

/** The RTP stream of a call's audio if it has one with G.711; else null. */
pjmedia_stream *g711StreamOf(int call);

/** The length of the packets that the far end asks for (ptime, RFC 8866, 6.4) if that is 10 to 60 ms; else 20 ms. */
size_t packetBytesTo(int call);

/** The slot of a call's audio in the conference; PJSUA_INVALID_ID without audio. */
int conferenceSlot(int call);

/**
 * Drop the audio of a call's far end that waits in its jitter buffer, unless the conference reads it. Without a listener
 * it does not, so half a second of audio may wait there, which the first listener would get.
 */
void dropUnheard(int call);

/** Let the conference serve a slot, or not. */
void serveInConference(int slot, pjmedia_port_op op);

}  // namespace sipbridge

#endif
