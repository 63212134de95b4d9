/*
 * The check of the source of RTP packets, for PJMEDIA (rtp_origin.hpp). It runs on the media clock.
 */
#ifndef SIPBRIDGE_ORIGIN_HPP
#define SIPBRIDGE_ORIGIN_HPP

#include <pjmedia/stream_common.h>

/**
 * Return true if a packet is the far end's. If it is the first from its address, our audio goes there from now on.
 * PJMEDIA's stream calls this for each packet that SRTP has not authenticated, before it uses the packet
 * (patches/0024). An address in a new SDP makes a new stream, which begins again.
 */
extern "C" pj_bool_t sipbridgeIsFarEnd(pjmedia_stream_common *stream, pjmedia_tp_cb_param *packet);

namespace sipbridge {

/** The number of packets since the start that were not the far end's. */
long long strayPackets();

}  // namespace sipbridge

#endif
