/*
 * The headers of RTP packets that go from one leg to another, each with a sequence and a clock of its own (RFC 3550).
 * It includes nothing of PJSIP. The media clock alone calls it; the time is an argument.
 */
#ifndef SIPBRIDGE_RELAYED_RTP_HPP
#define SIPBRIDGE_RELAYED_RTP_HPP

#include "rate_limits.hpp"

#include <cstdint>
#include <optional>

namespace sipbridge {

/** A received packet. */
struct RelayedPacket {
    uint32_t source;  // SSRC
    uint16_t sequence;
    uint32_t timestamp;
    bool marker;
    bool isEvent;      // RFC 4733: its timestamp is that of the beginning of the press
    uint32_t samples;  // of its audio; of an event, its duration so far
};

/** The latest packet that a leg has sent, whether it was relayed or our own. */
struct SentPacket {
    uint16_t sequence = 0;
    uint32_t timestamp = 0;
    uint32_t samples = 0;
    Clock::time_point at;  // the time that its timestamp stands for
};

/** The header of a packet that is sent. */
struct RelayedHeader {
    uint16_t sequence;
    uint32_t timestamp;
    bool marker;
    bool isLate;  // a packet with a higher sequence number has been sent
};

/** A packet of our own, such as silence, that is sent now after the latest one: it has the timestamp of its time. */
SentPacket ownPacket(const SentPacket &latest, uint32_t samples, Clock::time_point now);
/** The latest packet of the leg after it has sent this one, which was not late. */
SentPacket relayedPacket(const SentPacket &latest, const RelayedHeader &header, const RelayedPacket &packet,
                         Clock::time_point now);

/**
 * The packets of one leg, as the other leg sends them. Sequence numbers and timestamps keep their distances, so that
 * the far end sees loss, reordering and pauses as they are. Numbers continue without a jump after a packet of our own,
 * and when the sender restarts or has another source or clock.
 *
 * Timestamps are those of one linear clock (RFC 3550, 5.1). So they keep their distance from the sender's when we have
 * sent packets of our own, and audio whose time these have covered is lost.
 *
 * The clocks of some senders stand still in pauses, though. Such a talkspurt gets the time in which it comes. If its
 * packets then catch up with time, a network had held them up, and the clock before returns. Bursts at the sender's pace
 * seem to do that, too, so a clock that begins as regularly after such a one may do so for the length of a burst.
 */
class RelayedRtp {
public:
    /** Return the header for a packet; none if it is repeated, too late, covered, or over the rate of a call. */
    std::optional<RelayedHeader> pass(const RelayedPacket &packet, const SentPacket &latest, Clock::time_point now);

    /**
     * The same sender, relayed to another stream from now on. That gets no packets of a press that has begun, because
     * they would be a second press there.
     */
    RelayedRtp toOtherStream() const;

private:
    /** A packet of audio as it was received. */
    struct Received {
        uint32_t timestamp;
        Clock::time_point at;
    };

    /** A clock that has begun because the sender's seemed to stand still. */
    struct Trial {
        Received first;
        uint32_t shiftBefore;  // the timestampShift_ of the clock before
        Clock::duration burst;  // packets may catch up by so much, as they seem to come in bursts
    };

    bool isOtherClock(const RelayedPacket &packet, Clock::time_point now) const;
    bool isCovered(const RelayedPacket &packet, const SentPacket &latest) const;
    bool standsStill(const RelayedPacket &packet, Clock::time_point now);
    static bool catchesUp(const RelayedPacket &packet, const Received &since, Clock::time_point now);
    Trial trialOf(const RelayedPacket &packet, Clock::time_point now) const;
    void judgeTrial(const RelayedPacket &packet, const SentPacket &latest, Clock::time_point now);
    std::optional<RelayedHeader> passLate(const RelayedPacket &packet, int behind, const SentPacket &latest,
                                          Clock::time_point now);
    void advance(const RelayedPacket &packet, int ahead, Clock::time_point now);
    void beginClock(uint32_t shift);
    bool isLostPress(const RelayedPacket &packet) const;
    bool follows(const SentPacket &latest) const;
    uint32_t timestampOf(const RelayedPacket &packet, const SentPacket &latest, Clock::time_point now);

    bool begun_ = false;
    uint32_t source_ = 0;
    uint16_t highest_ = 0;  // the highest sequence number received
    uint64_t seen_ = 0;     // bit n: the packet n before the highest has been received
    // What is added to the sender's numbers.
    uint16_t sequenceShift_ = 0;
    uint32_t timestampShift_ = 0;
    std::optional<Received> audio_;    // the latest audio since the sender's clock began
    bool interrupted_ = false;         // no audio has passed since packets of our own, or since a trial has failed
    std::optional<Received> covered_;  // audio that was dropped since then; standsStill() measures from it
    std::optional<Received> heldUp_;   // audio that seemed to be held up, as that after it has caught up
    std::optional<Trial> trial_;       // of the present clock
    // The latest press: its timestamp never changes (RFC 4733, 2.5.1.2).
    bool pressed_ = false;
    bool pressLost_ = false;  // it has begun in another stream
    uint32_t pressReceived_ = 0, pressSent_ = 0;
    // Packets of 5 ms are the shortest in use. A flood must not reach the other leg.
    TokenBucket<4, 100> rate_;
};

}  // namespace sipbridge

#endif
