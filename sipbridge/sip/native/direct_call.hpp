/*
 * A call whose audio goes between RTP and the audio stream of its agent (direct_audio.hpp).
 */
#ifndef SIPBRIDGE_DIRECT_CALL_HPP
#define SIPBRIDGE_DIRECT_CALL_HPP

#include "audio_queue.hpp"
#include "received_audio.hpp"
#include "rtp_leg.hpp"

#include <memory>
#include <string>

namespace sipbridge {

/** The constructor, and what is const, is for any thread; all else belongs to the media clock. */
class DirectCall : public RtpLeg {
public:
    /** @param number  of the audio stream, whose queue this is. */
    DirectCall(int call, int number, std::shared_ptr<AudioQueue> queue, pjmedia_stream *stream,
               const pjmedia_stream_info &info, size_t packetBytes);

    const int number;
    const size_t packetBytes;

    /** Take over from the conference, unless that was done. */
    void begin();

    void prefetch() const override;
    void takeAudio(const pjmedia_rtp_hdr *header, const void *payload, size_t length) override;
    /** Take a packet without audio: comfort noise, or an event. */
    void takeOther(const pjmedia_rtp_hdr *header);
    /** Take the silence that is due; return the time until which there is none, unless a packet arrives. */
    Clock::time_point takeSilence(Clock::time_point tick);
    /** Send the packet that is due to the far end, if one is; return the time until which there is none. */
    Clock::time_point sendPacket(Clock::time_point tick);

    /** Pass the audio that the calls have taken on to the streams. */
    static void passHeard();

private:
    void take(const pjmedia_rtp_hdr *header, RtpPacket::Payload kind, const void *payload, size_t length);
    void noteHeard(bool hadAudio);
    void send(uint8_t *audio, unsigned skipped);
    void sendByStream(const uint8_t *audio, unsigned skipped);

    const std::shared_ptr<AudioQueue> queue_;
    bool begun_ = false;
    ReceivedAudio received_{Clock::now()};
    std::string out_;
};

}  // namespace sipbridge

#endif
