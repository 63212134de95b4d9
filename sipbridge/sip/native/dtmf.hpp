/*
 * DTMF digits from far ends: RFC 4733 events in their RTP, and INFO. Each press is one EventDigit, at most 20 per
 * second and 40 at once for each leg. dtmf_event.hpp reads the bytes, and dtmf_presses.hpp finds the presses.
 */
#ifndef SIPBRIDGE_DTMF_HPP
#define SIPBRIDGE_DTMF_HPP

#include <pjsua-lib/pjsua.h>

namespace sipbridge {

/** Reset a PJSUA slot for a new call. Call it on the SIP thread, before the call has audio. */
void forgetDigits(pjsua_call_id call);

/**
 * Report that a digit to the far end is dropped; once per call, for digits in either direction. Any thread may call it.
 */
void noteDigitDropped(pjsua_call_id call, const char *why);

/**
 * Respond to an INFO in a dialog, and report its digit: 200, also without a body (RFC 2976, 2.2); 415 with Accept for a
 * type that carries no digit (RFC 3261, 21.4.13); 400 for a body that cannot be read. Call it on the SIP thread.
 */
void answerInfo(pjsua_call_id call, pjsip_dialog *dialog, pjsip_rx_data *rdata);

/**
 * Report presses whose last packets were lost. The media clock calls it every 20 ms; it is cheap while none is pressed.
 */
void reportLostEnds();

}  // namespace sipbridge

// PJMEDIA's stream calls these for each packet of a call, on the media clock (patches/0025).

/** Read a packet of the payload type that was negotiated for events. */
extern "C" void sipbridgeEventPacket(int call, const pjmedia_rtp_hdr *header, const void *payload, unsigned length);
/** Note a packet of audio, which ends a press. */
extern "C" void sipbridgeAudioPacket(int call);

#endif
