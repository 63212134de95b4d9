#include "relay_leg.hpp"

#include "audio_queue.hpp"
#include "call_audio.hpp"
#include "dtmf.hpp"
#include "g711.hpp"

#include <algorithm>
#include <cstdlib>

// patches/0036 and 0038
extern "C" void sipbridgeSkipSamples(pjmedia_stream *stream, unsigned samples);
extern "C" pj_bool_t sipbridgeSendsDigits(const pjmedia_stream *stream);
extern "C" void sipbridgeReport(pjmedia_stream *stream);
// patches/0041
extern "C" void sipbridgeReceiveRtp(pjmedia_transport *transport, const void *packet, unsigned size,
                                    const pj_sockaddr *source);

namespace sipbridge {

namespace {

// A leg that has got no packet for so long gets silence, so that its far end and NAT still see packets. Shorter gaps
// are those of the other far end, and stay as they are.
constexpr auto PATIENCE = std::chrono::milliseconds(200);
const size_t MAX_PAYLOAD_BYTES = PJMEDIA_MAX_MTU - PJMEDIA_STREAM_RESV_PAYLOAD_LEN - sizeof(pjmedia_rtp_hdr);
const uint8_t PLAIN_HEADER = 0x80;  // version 2; no padding, extension or contributing source (RFC 3550, 5.1)
const size_t EVENT_BYTES = sizeof(pjmedia_rtp_dtmf_event);

void convert(uint8_t *bytes, size_t count, unsigned from, unsigned to) {
    if (from != to)
        (to == PCMU ? mulawFromAlaw : alawFromMulaw)(bytes, count);
}

/** The average of every fourth sample as a mu-law magnitude, as PJMEDIA's conference measures it. */
int levelOf(const uint8_t *audio, size_t count, unsigned law) {
    int sum = 0;
    for (size_t i = 0; i < count; i += 4)
        sum += std::abs(law == PCMU ? pjmedia_ulaw2linear(audio[i]) : pjmedia_alaw2linear(audio[i]));
    return pjmedia_linear2ulaw(sum / static_cast<int>((count + 3) / 4)) ^ 0xff;
}

RelayedPacket packetOf(const pjmedia_rtp_hdr *header, bool isEvent, uint32_t samples) {
    return RelayedPacket{
        pj_ntohl(header->ssrc), pj_ntohs(header->seq), pj_ntohl(header->ts), header->m != 0, isEvent, samples};
}

}  // namespace

RelayLeg::RelayLeg(int call, int withheld, pjmedia_stream *stream, const pjmedia_stream_info &info)
    : call(call),
      stream(stream),
      common_(*reinterpret_cast<pjmedia_stream_common *>(stream)),
      socket_(common_.transport),
      withheld_(withheld),
      law_(info.fmt.pt),
      eventType_(info.tx_event_pt) {
    pjmedia_stream_get_port(stream, &port_);
    pjmedia_port_add_ref(port_);
}

RelayLeg::~RelayLeg() { pjmedia_port_dec_ref(port_); }

void RelayLeg::begin(Clock::time_point now) {
    noteSent(FRAME_BYTES, now);
    // The conference's silence goes on until the first packet of the other leg.
    fillAt_ = now + FRAME_TIME;
    socket_.watch(this);
}

void RelayLeg::finish(Clock::time_point now) { skipTo(now); }

void RelayLeg::prefetch() const {
    const char *rtcp = reinterpret_cast<const char *>(&common_.rtcp);
    for (size_t line = 0; line < sizeof(common_.rtcp); line += 64)
        __builtin_prefetch(rtcp + line, 1);
    __builtin_prefetch(&common_.dec->rtp, 1);
    __builtin_prefetch(&common_.rem_rtp_addr);
    __builtin_prefetch(&other->common_.enc->rtp, 1);
    __builtin_prefetch(&other->common_.rem_rtp_addr);
}

void RelayLeg::readPacket() {
    uint8_t packet[PJMEDIA_MAX_MRU];
    pj_sockaddr source;
    const ssize_t size = socket_.receive(packet, sizeof(packet), &source);
    if (size < 0 || takeNext(packet, static_cast<size_t>(size), source))
        return;
    sipbridgeReceiveRtp(common_.transport, packet, static_cast<unsigned>(size), &source);
}

/**
 * Relay a packet if it is simply the next one of its stream: from the same address and source, with audio, without
 * options of the header. All others return false. They are for PJMEDIA's stream, which has the rules for them.
 */
bool RelayLeg::takeNext(const uint8_t *packet, size_t size, const pj_sockaddr &source) {
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
    relayAudio(header, packet + sizeof(*header), length);
    pjmedia_rtcp_rx_rtp2(&common_.rtcp, number, pj_ntohl(header->ts), static_cast<unsigned>(length), PJ_FALSE);
    return true;
}

void RelayLeg::relayAudio(const pjmedia_rtp_hdr *header, const void *payload, size_t length) {
    if (!length || length > MAX_PAYLOAD_BYTES)
        return;
    uint8_t bytes[MAX_PAYLOAD_BYTES];
    std::copy_n(static_cast<const uint8_t *>(payload), length, bytes);
    level = levelOf(bytes, length, header->pt);
    convert(bytes, length, header->pt, other->law_);
    relay(packetOf(header, false, static_cast<uint32_t>(length)), static_cast<int>(other->law_), bytes, length);
}

void RelayLeg::relayEvent(const pjmedia_rtp_hdr *header, const void *payload, uint32_t duration) {
    relay(packetOf(header, true, duration), other->eventType_, static_cast<const uint8_t *>(payload), EVENT_BYTES);
}

bool RelayLeg::canRelayDigit(char digit) const {
    return digit != withheld_ && other->eventType_ > 0 && other->takesPackets();
}

void RelayLeg::fill(Clock::time_point tick) {
    if (tick < fillAt_)
        return;
    other->level = 0;
    skipTo(tick);
    int16_t samples[FRAME_BYTES] = {};
    pjmedia_frame frame;
    pj_bzero(&frame, sizeof(frame));
    frame.type = PJMEDIA_FRAME_TYPE_AUDIO;
    frame.buf = samples;
    frame.size = sizeof(samples);
    pjmedia_port_put_frame(port_, &frame);
    sentSamples_ = FRAME_BYTES;
    sentAt_ = tick;
    fillAt_ = tick + FRAME_TIME;
}

/** True if the far end can get packets of the other leg. Digits of our own go out by the clock, and replace them. */
bool RelayLeg::takesPackets() const {
    return port_->put_frame && !common_.enc->paused && !sipbridgeSendsDigits(stream);
}

SentPacket RelayLeg::latest() const {
    const pjmedia_rtp_session &session = common_.enc->rtp;
    return SentPacket{static_cast<uint16_t>(session.out_extseq), pj_ntohl(session.out_hdr.ts), sentSamples_, sentAt_};
}

void RelayLeg::noteSent(uint32_t samples, Clock::time_point now) {
    sentSamples_ = samples;
    sentAt_ = now;
    fillAt_ = now + PATIENCE;
}

/** Set the timestamp so that the next frame, to whose samples PJMEDIA adds it, has that of this time. */
void RelayLeg::skipTo(Clock::time_point now) {
    const SentPacket packet = latest();
    const uint32_t passed = nextTimestamp(packet, now) - packet.timestamp;
    if (passed > FRAME_BYTES)
        sipbridgeSkipSamples(stream, passed - static_cast<uint32_t>(FRAME_BYTES));
}

void RelayLeg::relay(const RelayedPacket &packet, int payloadType, const uint8_t *payload, size_t length) {
    const Clock::time_point now = Clock::now();
    if (!other->takesPackets()) {
        other->fillAt_ = std::min(other->fillAt_, now);
        return;
    }
    const auto relayed = received_.pass(packet, other->latest(), now);
    if (!relayed)
        return;
    other->send(*relayed, payloadType, payload, length);
    if (!relayed->isLate)
        other->noteSent(packet.samples, now);
}

/** Note a sent packet as the session's latest. An event may have an earlier timestamp than the audio before it. */
void RelayLeg::advance(const pjmedia_rtp_hdr &header) {
    pjmedia_rtp_session &session = common_.enc->rtp;
    const uint32_t before = session.out_hdr.ts;
    session.out_extseq += static_cast<uint16_t>(pj_ntohs(header.seq) - static_cast<uint16_t>(session.out_extseq));
    session.out_hdr = header;
    if (static_cast<int32_t>(pj_ntohl(header.ts) - pj_ntohl(before)) < 0)
        session.out_hdr.ts = before;
}

/** Send a payload with the header of this leg's stream, and count it in the stream's reports. */
void RelayLeg::send(const RelayedHeader &relayed, int payloadType, const uint8_t *payload, size_t length) {
    pjmedia_rtp_session &session = common_.enc->rtp;
    uint8_t packet[PJMEDIA_MAX_MTU];
    pjmedia_rtp_hdr header = session.out_hdr;
    header.pt = static_cast<uint8_t>(payloadType);
    header.m = relayed.marker;
    header.seq = pj_htons(relayed.sequence);
    header.ts = pj_htonl(relayed.timestamp);
    std::copy_n(reinterpret_cast<const uint8_t *>(&header), sizeof(header), packet);
    std::copy_n(payload, length, packet + sizeof(header));
    if (!relayed.isLate)
        advance(header);
    const size_t size = sizeof(header) + length;
    if (!socket_.send(packet, size, common_.rem_rtp_addr) &&
        pjmedia_transport_send_rtp(common_.transport, packet, size) != PJ_SUCCESS)
        return;
    pjmedia_rtcp_tx_rtp(&common_.rtcp, static_cast<unsigned>(length));
    common_.rtcp.stat.rtp_tx_last_ts = pj_ntohl(session.out_hdr.ts);
    common_.rtcp.stat.rtp_tx_last_seq = pj_ntohs(session.out_hdr.seq);
    sipbridgeReport(stream);
}

}  // namespace sipbridge
