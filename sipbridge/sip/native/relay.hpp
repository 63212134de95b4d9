/*
 * Joined calls whose audio goes from leg to leg packet by packet, without PJMEDIA's jitter buffer and conference. The
 * far ends have jitter buffers of their own. Both legs must have a codec of G.711 and the same packet time.
 */
#ifndef SIPBRIDGE_RELAY_HPP
#define SIPBRIDGE_RELAY_HPP

#include "rate_limits.hpp"

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

/**
 * Relay the audio and the DTMF events of two calls, and take both out of the conference. To be repeated after each
 * offer and answer. Return false if that is not possible with their codecs; then nothing is relayed. A withheld digit
 * is not relayed; 0 for none. Call it on the SIP thread.
 */
bool openRelay(int call, int withheld, int other, int otherWithheld);
/**
 * End the relay of a call, and put it and the other one back into the conference. Without a relay, leave the call there.
 * Its next listener hears what the far end says from now on. On the SIP thread.
 */
void closeRelay(int call);
/** The level of a relayed call's latest packet, as slotLevel() measures it; -1 if the call is not relayed. */
int relayLevel(int call);

#ifndef SWIG
/** Use the socket of a stream no more, because the stream ends. On the SIP thread. */
void leaveRelaySocket(int call, const pjmedia_stream *stream);

// The media clock calls these.

/** Note the relays that have begun and ended; true if there are any. Then the clock must tick more often. */
bool beginRelayTick();
/** Release all relays, after the clock has stopped: their memory belongs to the endpoint. On the SIP thread. */
void releaseRelays();
/** Send silence or our own DTMF digits to the legs that get no packets of the other one. Every 20 ms. */
void fillRelays(Clock::time_point tick);

/** True if the packets of this stream are relayed. */
bool isRelayed(int call, const pjmedia_stream_common *stream);
/** Relay a packet of such a stream, unless it is an event; false if it is one, which PJMEDIA has to read. */
bool relayPacket(int call, bool isEvent, const pjmedia_rtp_hdr *header, const void *payload, unsigned length);
/** True if a press of this digit can be relayed now. */
bool canRelayDigit(int call, char digit);
/** Relay a packet of a press; `duration` is that so far. */
void relayEvent(int call, const pjmedia_rtp_hdr *header, const void *payload, uint32_t duration);
#endif

}  // namespace sipbridge

#endif
