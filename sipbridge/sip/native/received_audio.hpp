/*
 * The audio of one far end, from RTP packets as they arrive to mu-law in order (RFC 3550, G.711). It includes nothing
 * of PJSIP. The media clock alone calls it; the time is an argument.
 */
#ifndef SIPBRIDGE_RECEIVED_AUDIO_HPP
#define SIPBRIDGE_RECEIVED_AUDIO_HPP

#include "rate_limits.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sipbridge {

/** An RTP packet without its header. */
struct RtpPacket {
    // DTMF events and comfort noise have a sequence number like audio, but no audio.
    enum Payload {
        Mulaw,
        Alaw,
        NoAudio
    };

    uint32_t source;  // SSRC
    uint16_t sequence;
    uint32_t timestamp;
    Payload kind;
    const uint8_t *bytes;
    size_t count;
};

/**
 * Packets pass at once while their sequence numbers follow each other. If one is missing, the later ones wait until it
 * arrives, or until it is 40 ms overdue. Time without audio becomes silence: after 40 ms without a packet that is due,
 * silence passes every 20 ms, so that the listener's clock goes on.
 */
class ReceivedAudio {
public:
    /** @param now  when the listener's clock starts; silence passes until the first packet. */
    explicit ReceivedAudio(Clock::time_point now) : due_(now) {}

    /** Take a packet; append the audio that it releases to `out`. */
    void receive(const RtpPacket &packet, Clock::time_point now, std::string *out);

    /** Give up packets that are overdue, and append the silence that is due. */
    void tick(Clock::time_point now, std::string *out);

    /** The time until which tick() does nothing, unless a packet arrives. */
    Clock::time_point due() const { return due_; }

private:
    struct Waiting {
        uint16_t sequence;
        uint32_t timestamp;
        Clock::time_point arrived;
        std::string audio;  // mu-law; empty without audio
    };

    void begin(uint32_t source, uint16_t sequence, std::string *out);
    void receiveStray(Waiting &&arrived, Clock::time_point now, std::string *out);
    void hold(Waiting &&arrived);
    void pass(const Waiting &packet, Clock::time_point now, std::string *out);
    void passFollowing(Clock::time_point now, std::string *out);
    void fillGap(const Waiting &packet, Clock::time_point now, std::string *out);

    bool begun_ = false;
    uint32_t source_ = 0;
    uint16_t next_ = 0;             // the sequence number that passes at once
    std::vector<Waiting> waiting_;  // by sequence number
    std::optional<Waiting> stray_;  // the first packet of a restart, unless it is the only one
    bool timed_ = false;            // audio has passed since the start or restart, so the next three are valid
    uint32_t end_ = 0;              // the timestamp after the last audio
    Clock::time_point ended_;       // when the last audio was over, counted from its arrival
    size_t silence_ = 0;            // samples of silence passed since the last audio
    Clock::time_point due_;         // when a missing packet is given up, or silence passes
};

}  // namespace sipbridge

#endif
