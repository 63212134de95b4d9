/*
 * Calls whose audio goes between RTP and an audio stream without PJMEDIA's jitter buffer and conference: those of
 * WebSocket agents, if the codec is G.711.
 */
#ifndef SIPBRIDGE_DIRECT_AUDIO_HPP
#define SIPBRIDGE_DIRECT_AUDIO_HPP

#include "rate_limits.hpp"

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

/**
 * Carry the audio of a call to and from a stream, and take the call out of the conference. To be repeated after each
 * offer and answer. Return false if the call has no audio, or another codec; then nothing is carried. Call it on the
 * SIP thread.
 */
bool openDirectAudio(int call, int stream);
/**
 * Undo openDirectAudio(), if that was called. The next listener in the conference hears what the far end says from now
 * on. On the SIP thread.
 */
void closeDirectAudio(int call);

#ifndef SWIG
/** Use the socket of a stream no more, because the stream ends. On the SIP thread. */
void leaveDirectSocket(int call, const pjmedia_stream *stream);

// The media clock calls these, in this order, at each tick.

/** Note the calls that have begun and ended; true if there are any. Then the clock must tick more often. */
bool beginDirectTick();
/** Release all calls, after the clock has stopped: their memory belongs to the endpoint. On the SIP thread. */
void releaseDirectAudio();
/** Pass the audio of the packets read since the last tick on to the streams. */
void passDirectAudio(Clock::time_point tick);
/** Send the packets that are due at this tick. */
void sendDirectAudio(Clock::time_point tick);
#endif

}  // namespace sipbridge

#ifndef SWIG

/**
 * PJMEDIA's stream calls this for each packet of a call that has passed SRTP and the check of its source, on the media
 * clock (patches/0036). True if the packet's audio is carried past the jitter buffer.
 */
extern "C" pj_bool_t sipbridgeDirectPacket(pjmedia_stream_common *stream, int call, pj_bool_t isEvent,
                                           const pjmedia_rtp_hdr *header, const void *payload, unsigned length);
#endif

#endif
