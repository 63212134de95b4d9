#include "direct_call.hpp"

#include "audio_streams.hpp"
#include "call_audio.hpp"
#include "g711.hpp"

#include <algorithm>
#include <utility>
#include <vector>

// patches/0036
extern "C" void sipbridgeSkipSamples(pjmedia_stream *stream, unsigned samples);

namespace sipbridge {

namespace {

std::vector<DirectCall *> heard;  // the calls that have audio since the last tick

}  // namespace

DirectCall::DirectCall(int call, int number, std::shared_ptr<AudioQueue> queue, pjmedia_stream *stream,
                       const pjmedia_stream_info &info, size_t packetBytes)
    : RtpLeg(call, stream, info), number(number), packetBytes(packetBytes), queue_(std::move(queue)) {}

void DirectCall::begin() {
    if (std::exchange(begun_, true))
        return;
    queue_->begin();
    socket_.watch(this);
}

void DirectCall::prefetch() const {
    RtpLeg::prefetch();
    __builtin_prefetch(&received_, 1);
    __builtin_prefetch(queue_.get(), 1);
}

void DirectCall::takeAudio(const pjmedia_rtp_hdr *header, const void *payload, size_t length) {
    take(header, header->pt == PCMU ? RtpPacket::Mulaw : RtpPacket::Alaw, payload, length);
}

void DirectCall::takeOther(const pjmedia_rtp_hdr *header) { take(header, RtpPacket::NoAudio, nullptr, 0); }

void DirectCall::take(const pjmedia_rtp_hdr *header, RtpPacket::Payload kind, const void *payload, size_t length) {
    const RtpPacket packet{pj_ntohl(header->ssrc),
                           pj_ntohs(header->seq),
                           pj_ntohl(header->ts),
                           kind,
                           static_cast<const uint8_t *>(payload),
                           length};
    const bool hadAudio = !out_.empty();
    received_.receive(packet, Clock::now(), &out_);
    noteHeard(hadAudio);
}

Clock::time_point DirectCall::takeSilence(Clock::time_point tick) {
    const bool hadAudio = !out_.empty();
    received_.tick(tick, &out_);
    noteHeard(hadAudio);
    return received_.due();
}

void DirectCall::noteHeard(bool hadAudio) {
    if (!hadAudio && !out_.empty())
        heard.push_back(this);
}

void DirectCall::passHeard() {
    for (DirectCall *each : heard) {
        hearAudio(each->number, *each->queue_, each->out_);
        each->out_.clear();
    }
    heard.clear();
}

Clock::time_point DirectCall::sendPacket(Clock::time_point tick) {
    uint8_t audio[MAX_PACKET_BYTES];
    Pace pace;
    const Turn turn = queue_->next(tick, audio, packetBytes, &pace);
    if (turn == Turn::Nothing)
        return pace.due;
    if (turn == Turn::Silence)
        std::fill_n(audio, packetBytes, SILENCE);
    if (takesPackets())
        send(audio, pace.skipped);
    else
        sendByStream(audio, pace.skipped);
    return pace.due;
}

/** Send a packet without PJMEDIA's encoder, which would restore the same bytes. */
void DirectCall::send(uint8_t *audio, unsigned skipped) {
    if (law_ == PCMA)
        alawFromMulaw(audio, packetBytes);
    pjmedia_rtp_session &session = common_.enc->rtp;
    ++session.out_extseq;
    session.out_hdr.pt = static_cast<uint8_t>(law_);
    session.out_hdr.m = skipped > 0;
    session.out_hdr.seq = pj_htons(static_cast<uint16_t>(session.out_extseq));
    session.out_hdr.ts = pj_htonl(pj_ntohl(session.out_hdr.ts) + skipped + static_cast<uint32_t>(packetBytes));
    transmit(session.out_hdr, audio, packetBytes);
}

/** Let PJMEDIA's stream send: digits instead of the packet, or nothing during a hold. */
void DirectCall::sendByStream(const uint8_t *audio, unsigned skipped) {
    if (skipped)
        sipbridgeSkipSamples(stream, skipped);
    int16_t samples[MAX_PACKET_BYTES];
    std::transform(audio, audio + packetBytes, samples,
                   [](uint8_t byte) { return static_cast<int16_t>(pjmedia_ulaw2linear(byte)); });
    pjmedia_frame frame;
    pj_bzero(&frame, sizeof(frame));
    frame.type = PJMEDIA_FRAME_TYPE_AUDIO;
    frame.buf = samples;
    frame.size = sizeof(samples[0]) * packetBytes;
    pjmedia_port_put_frame(port_, &frame);
}

}  // namespace sipbridge
