#include "origin.hpp"

#include "rtp_origin.hpp"
#include "socket_address.hpp"

#include <atomic>

namespace {

std::atomic<long long> stray{0};

/**
 * Send our audio to the source of this packet, and reset the receiver, because its sequence and clock are other ones.
 */
void turnTo(pjmedia_stream_common *stream, pjmedia_tp_cb_param *packet) {
    packet->rem_switch = PJ_TRUE;
    pj_sockaddr_cp(&stream->rem_rtp_addr, packet->src_addr);
    stream->rtcp.peer_ssrc = pj_ntohl(static_cast<const pjmedia_rtp_hdr *>(packet->pkt)->ssrc);
    stream->dec->rtp.received = 0;
    pj_mutex_lock(stream->jb_mutex);
    pjmedia_jbuf_reset(stream->jb);
    pj_mutex_unlock(stream->jb_mutex);
}

}  // namespace

pj_bool_t sipbridgeIsFarEnd(pjmedia_stream_common *stream, pjmedia_tp_cb_param *packet) {
    using namespace sipbridge;
    const RtpPeer peer{ipEndpointOf(&stream->si->rem_addr), ipEndpointOf(&stream->rem_rtp_addr),
                       stream->rem_rtp_flag != 0};
    const RtpOrigin origin = rtpOrigin(ipEndpointOf(packet->src_addr), peer);
    if (origin == RtpOrigin::Stray) {
        ++stray;
        return PJ_FALSE;
    }
    if (origin == RtpOrigin::NewFarEnd)
        turnTo(stream, packet);
    stream->rem_rtp_flag = 1;
    return PJ_TRUE;
}

long long sipbridge::strayPackets() { return stray; }
