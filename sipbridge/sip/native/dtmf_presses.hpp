/*
 * The DTMF digits of one leg: each press is reported once, however many RTP packets and INFO requests carry it, unless
 * its packets are relayed to the joined leg. The time is an argument.
 */
#ifndef SIPBRIDGE_DTMF_PRESSES_HPP
#define SIPBRIDGE_DTMF_PRESSES_HPP

#include "dtmf_event.hpp"
#include "rate_limits.hpp"

#include <array>
#include <string>
#include <vector>

namespace sipbridge {

/** The digits that a step completes, without those that the joined leg has got as RTP packets. */
struct DigitReport {
    std::string digits;
    bool overRate = false;  // a digit was dropped, because the far end sends too many
};

/** All packets of one press carry the timestamp of its beginning (RFC 4733, 2.5.1). */
struct PressId {
    uint32_t ssrc = 0, timestamp = 0;
    int event = -1;

    bool operator==(const PressId &other) const {
        return ssrc == other.ssrc && timestamp == other.timestamp && event == other.event;
    }
};

class DtmfPresses {
public:
    /**
     * An event packet of RTP, with the marker bit and the duration so far. A digit is reported when it is released.
     * `canRelay` is true if the joined leg can get the packets of the press; isRelayed() decides on each.
     */
    DigitReport onEventPacket(const PressId &id, bool marker, const DtmfEvent &event, bool canRelay,
                              Clock::time_point now);
    /** True if the packets of a press are for the joined leg: it could get the first one, and no INFO came before. */
    bool isRelayed(const PressId &id) const;
    /** A packet of audio: the end of a press, if the end itself was lost. */
    DigitReport onAudioPacket(Clock::time_point now);
    /** An event in an INFO. */
    DigitReport onInfo(const InfoEvent &info, Clock::time_point now);
    /** A turn of the clock: the end of a press that has had no packet for 300 ms. */
    DigitReport onTurn(Clock::time_point now);

    /** True while a digit is pressed that is not reported yet. */
    bool isHeld() const { return !press_.reported; }

private:
    enum class Way {
        Rtp,
        Info
    };

    struct Press {
        PressId id;
        uint32_t duration = 0;
        bool ended = false;
        bool reported = true;
        bool relayed = false;
        Clock::time_point began, latest;  // the times of its first and its latest packet
    };

    /** A reported digit that has come only one way so far. */
    struct Unpaired {
        char digit;
        Way way;
        Clock::time_point at;
    };

    bool goesOn(const PressId &id, bool marker) const;
    void finish(Clock::time_point now, DigitReport *report);
    void add(const Unpaired &digit, Clock::time_point began, bool relayed, DigitReport *report);
    std::vector<Unpaired>::iterator twinOf(char digit, Way way, Clock::time_point began);

    Press press_;
    std::array<Press, 8> earlier_;
    size_t nextEarlier_ = 0;
    std::vector<Unpaired> unpaired_;
    // The event and duration so far of a press that several INFOs report as RTP does.
    int infoEvent_ = -1;
    uint32_t infoDuration_ = 0;
    // Each digit may become a SIP request to another far end. A person presses fewer, and so does an autodialler.
    TokenBucket<50, 40> rate_;
};

}  // namespace sipbridge

#endif
