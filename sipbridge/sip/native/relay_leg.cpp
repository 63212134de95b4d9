#include "relay_leg.hpp"

#include "audio_queue.hpp"
#include "call_audio.hpp"
#include "dtmf.hpp"
#include "g711.hpp"

#include <algorithm>
#include <cstdlib>

// patches/0036
extern "C" void sipbridgeSkipSamples(pjmedia_stream *stream, unsigned samples);

namespace sipbridge {

namespace {

// A leg that has got no packet for so long gets silence, so that its far end and NAT still see packets. Shorter gaps
// are those of the other far end, and stay as they are.
constexpr auto PATIENCE = std::chrono::milliseconds(200);
const size_t MAX_PAYLOAD_BYTES = PJMEDIA_MAX_MTU - PJMEDIA_STREAM_RESV_PAYLOAD_LEN - sizeof(pjmedia_rtp_hdr);
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
    : RtpLeg(call, stream, info), withheld_(withheld), eventType_(info.tx_event_pt) {}

void RelayLeg::begin(const RelayLeg *before, Clock::time_point now) {
    if (before && before->stream == stream) {
        noteSent(before->latest(), before->fillAt_);
    } else {
        sentSamples_ = FRAME_BYTES;
        sentAt_ = now;
        // The conference's silence goes on until the first packet of the other leg.
        fillAt_ = now + FRAME_TIME;
    }
    if (before)
        received_ = before->other->stream == other->stream ? before->received_ : before->received_.toOtherStream();
    socket_.watch(this);
}

void RelayLeg::finish(Clock::time_point now) { skipTo(ownPacket(latest(), FRAME_BYTES, now)); }

void RelayLeg::prefetch() const {
    RtpLeg::prefetch();
    __builtin_prefetch(&other->common_.enc->rtp, 1);
    __builtin_prefetch(&other->common_.rem_rtp_addr);
}

void RelayLeg::takeAudio(const pjmedia_rtp_hdr *header, const void *payload, size_t length) {
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
    const SentPacket silence = ownPacket(latest(), FRAME_BYTES, tick);
    skipTo(silence);
    int16_t samples[FRAME_BYTES] = {};
    pjmedia_frame frame;
    pj_bzero(&frame, sizeof(frame));
    frame.type = PJMEDIA_FRAME_TYPE_AUDIO;
    frame.buf = samples;
    frame.size = sizeof(samples);
    pjmedia_port_put_frame(port_, &frame);
    noteSent(silence, tick + FRAME_TIME);
}

SentPacket RelayLeg::latest() const {
    const pjmedia_rtp_session &session = common_.enc->rtp;
    return SentPacket{static_cast<uint16_t>(session.out_extseq), pj_ntohl(session.out_hdr.ts), sentSamples_, sentAt_};
}

void RelayLeg::noteSent(const SentPacket &packet, Clock::time_point fillAt) {
    sentSamples_ = packet.samples;
    sentAt_ = packet.at;
    fillAt_ = fillAt;
}

/** Set the timestamp so that the next frame, to whose samples PJMEDIA adds it, has that of this packet. */
void RelayLeg::skipTo(const SentPacket &next) {
    const uint32_t passed = next.timestamp - latest().timestamp;
    if (passed > FRAME_BYTES)
        sipbridgeSkipSamples(stream, passed - static_cast<uint32_t>(FRAME_BYTES));
}

void RelayLeg::relay(const RelayedPacket &packet, int payloadType, const uint8_t *payload, size_t length) {
    const Clock::time_point now = Clock::now();
    if (!other->takesPackets()) {
        other->fillAt_ = std::min(other->fillAt_, now);
        return;
    }
    const SentPacket latest = other->latest();
    const auto relayed = received_.pass(packet, latest, now);
    if (!relayed)
        return;
    other->send(*relayed, payloadType, payload, length);
    if (!relayed->isLate)
        other->noteSent(relayedPacket(latest, *relayed, packet, now), now + PATIENCE);
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

/** Send a payload with the header of this leg's stream. */
void RelayLeg::send(const RelayedHeader &relayed, int payloadType, const uint8_t *payload, size_t length) {
    pjmedia_rtp_hdr header = common_.enc->rtp.out_hdr;
    header.pt = static_cast<uint8_t>(payloadType);
    header.m = relayed.marker;
    header.seq = pj_htons(relayed.sequence);
    header.ts = pj_htonl(relayed.timestamp);
    if (!relayed.isLate)
        advance(header);
    transmit(header, payload, length);
}

}  // namespace sipbridge
