#include "rtp_leg.hpp"

#include "dtmf.hpp"

#include <algorithm>

// patches/0038
extern "C" pj_bool_t sipbridgeSendsDigits(const pjmedia_stream *stream);
extern "C" void sipbridgeReport(pjmedia_stream *stream);
// patches/0041
extern "C" void sipbridgeReceiveRtp(pjmedia_transport *transport, const void *packet, unsigned size,
                                    const pj_sockaddr *source);

namespace sipbridge {

namespace {

// The legs whose data are loaded before they are needed: they are spread over more memory than the cache has.
const int AHEAD = 4;
const uint8_t PLAIN_HEADER = 0x80;  // version 2; no padding, extension or contributing source (RFC 3550, 5.1)

}  // namespace

RtpLeg::RtpLeg(int call, pjmedia_stream *stream, const pjmedia_stream_info &info)
    : call(call),
      stream(stream),
      common_(*reinterpret_cast<pjmedia_stream_common *>(stream)),
      socket_(common_.transport),
      law_(info.fmt.pt) {
    pjmedia_stream_get_port(stream, &port_);
    pjmedia_port_add_ref(port_);
}

RtpLeg::~RtpLeg() { pjmedia_port_dec_ref(port_); }

void RtpLeg::prefetch() const {
    const char *rtcp = reinterpret_cast<const char *>(&common_.rtcp);
    for (size_t line = 0; line < sizeof(common_.rtcp); line += 64)
        __builtin_prefetch(rtcp + line, 1);
    __builtin_prefetch(&common_.dec->rtp, 1);
    __builtin_prefetch(&common_.rem_rtp_addr);
}

void RtpLeg::readPacket() {
    uint8_t packet[PJMEDIA_MAX_MRU];
    pj_sockaddr source;
    const ssize_t size = socket_.receive(packet, sizeof(packet), &source);
    if (size < 0 || takeNext(packet, static_cast<size_t>(size), source))
        return;
    sipbridgeReceiveRtp(common_.transport, packet, static_cast<unsigned>(size), &source);
}

/**
 * Take a packet if it is simply the next one of its stream: from the same address and source, with audio, without
 * options of the header. All others return false. They are for PJMEDIA's stream, which has the rules for them.
 */
bool RtpLeg::takeNext(const uint8_t *packet, size_t size, const pj_sockaddr &source) {
    const auto *header = reinterpret_cast<const pjmedia_rtp_hdr *>(packet);
    pjmedia_channel &channel = *common_.dec;
    const pjmedia_rtp_seq_session &sequence = channel.rtp.seq_ctrl;
    const bool isPlain = size > sizeof(*header) && packet[0] == PLAIN_HEADER && header->pt == law_;
    if (!isPlain || common_.rem_rtp_flag != 1 || pj_sockaddr_cmp(&common_.rem_rtp_addr, &source) != 0)
        return false;
    const uint32_t ssrc = pj_ntohl(header->ssrc);
    const uint16_t number = pj_ntohs(header->seq);
    if (ssrc != channel.rtp.peer_ssrc || ssrc != common_.rtcp.peer_ssrc || sequence.probation ||
        number != static_cast<uint16_t>(sequence.max_seq + 1))
        return false;
    if (channel.paused || common_.enc->paused || !common_.initial_rr || !port_->put_frame)
        return false;
    pjmedia_rtp_session_update2(&channel.rtp, header, nullptr, PJ_TRUE);
    const size_t length = size - sizeof(*header);
    sipbridgeAudioPacket(call);
    takeAudio(header, packet + sizeof(*header), length);
    pjmedia_rtcp_rx_rtp2(&common_.rtcp, number, pj_ntohl(header->ts), static_cast<unsigned>(length), PJ_FALSE);
    return true;
}

bool RtpLeg::takesPackets() const { return port_->put_frame && !common_.enc->paused && !sipbridgeSendsDigits(stream); }

void RtpLeg::transmit(const pjmedia_rtp_hdr &header, const uint8_t *payload, size_t length) {
    uint8_t packet[PJMEDIA_MAX_MTU];
    std::copy_n(reinterpret_cast<const uint8_t *>(&header), sizeof(header), packet);
    std::copy_n(payload, length, packet + sizeof(header));
    const size_t size = sizeof(header) + length;
    if (!socket_.send(packet, size, common_.rem_rtp_addr) &&
        pjmedia_transport_send_rtp(common_.transport, packet, size) != PJ_SUCCESS)
        return;
    const pjmedia_rtp_session &session = common_.enc->rtp;
    pjmedia_rtcp_tx_rtp(&common_.rtcp, static_cast<unsigned>(length));
    common_.rtcp.stat.rtp_tx_last_ts = pj_ntohl(session.out_hdr.ts);
    common_.rtcp.stat.rtp_tx_last_seq = pj_ntohs(session.out_hdr.seq);
    sipbridgeReport(stream);
}

bool readLegs() {
    RtpLeg *legs[MOST_READY];
    const int count = readySockets(legs);
    for (int i = 0; i < std::min(count, AHEAD); ++i)
        legs[i]->prefetch();
    for (int i = 0; i < count; ++i) {
        if (i + AHEAD < count)
            legs[i + AHEAD]->prefetch();
        legs[i]->readPacket();
    }
    return count > 0;
}

}  // namespace sipbridge
