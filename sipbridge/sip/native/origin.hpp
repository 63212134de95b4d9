/*
 * Whose RTP counts: without SRTP its address is all that a packet tells of who has sent it.
 */
#ifndef SIPBRIDGE_ORIGIN_HPP
#define SIPBRIDGE_ORIGIN_HPP

#include <pjmedia/stream_common.h>

/**
 * Whether a packet is the far end's; where it is the first from its address, audio goes there from now on. Called by
 * PJMEDIA's stream for each packet that no SRTP has proven, before anything else is made of it (patches/).
 *
 * What comes from the address in the SDP always is. Until then the first other address is taken for it, since a far end
 * behind NAT does not know its own; a third is never. Each stream begins again, and a new address in the SDP makes a new
 * stream. Asterisk's `strictrtp` and most session border controllers do the same (latching, RFC 7362, 4).
 */
extern "C" pj_bool_t sipbridgeIsFarEnd(pjmedia_stream_common *stream, pjmedia_tp_cb_param *packet);

namespace sipbridge {

/** Packets since the start that were not. */
long long strayPackets();

}  // namespace sipbridge

#endif
