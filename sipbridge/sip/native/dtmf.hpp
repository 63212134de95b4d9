/*
 * DTMF digits that far ends send: as RFC 4733 events among their RTP, or by INFO. Each press is one EventDigit, up to 20
 * per second and 40 at once for each leg.
 */
#ifndef SIPBRIDGE_DTMF_HPP
#define SIPBRIDGE_DTMF_HPP

#include <pjsua-lib/pjsua.h>

namespace sipbridge {

/** Forget what an earlier call in this slot of PJSUA's sent. On the SIP thread, before the call has audio. */
void forgetDigits(pjsua_call_id call);

/** Report that a digit to the far end of a call is dropped; once per call, for digits in either direction. */
void noteDigitDropped(pjsua_call_id call, const char *why);

/**
 * Respond to an INFO in a dialog, and report the digit that it carries: 200, also without a body (RFC 2976, 2.2); 415 with
 * Accept for a type that carries no digit (RFC 3261, 21.4.13); 400 for a body that cannot be read.
 */
void answerInfo(pjsua_call_id call, pjsip_dialog *dialog, pjsip_rx_data *rdata);

/** Report presses whose last packets were lost. On the media clock, every 20 ms; costs nothing while no digit is held. */
void reportLostEnds();

}  // namespace sipbridge

// PJMEDIA's stream asks these, on the media clock, for each packet of a call (patches/).

/** A packet of the payload type that was negotiated for events. */
extern "C" void sipbridgeEventPacket(int call, const pjmedia_rtp_hdr *header, const void *payload, unsigned length);
/** A packet of audio. */
extern "C" void sipbridgeAudioPacket(int call);

#endif
