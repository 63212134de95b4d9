#include "origin.hpp"

#include <atomic>

namespace {

std::atomic<long long> stray{0};

bool isSame(const pj_sockaddr &one, const pj_sockaddr *other) { return pj_sockaddr_cmp(&one, other) == 0; }

/** Send audio to where this came from, and hear it as from its beginning: its numbers and its clock are its own. */
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
    if (!isSame(stream->rem_rtp_addr, packet->src_addr)) {
        if (stream->rem_rtp_flag && !isSame(stream->si->rem_addr, packet->src_addr)) {
            ++stray;
            return PJ_FALSE;
        }
        turnTo(stream, packet);
    }
    stream->rem_rtp_flag = 1;
    return PJ_TRUE;
}

long long sipbridge::strayPackets() { return stray; }
