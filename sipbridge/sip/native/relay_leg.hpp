/*
 * One leg of two whose packets are relayed (relay.hpp): what its far end has sent, and what is sent to it.
 */
#ifndef SIPBRIDGE_RELAY_LEG_HPP
#define SIPBRIDGE_RELAY_LEG_HPP

#include "relayed_rtp.hpp"
#include "rtp_leg.hpp"

#include <pjsua-lib/pjsua.h>

#include <atomic>

namespace sipbridge {

/** The constructor, and what is const or atomic, is for any thread; all else belongs to the media clock. */
class RelayLeg : public RtpLeg {
public:
    /** @param withheld  the digit of the far end that is not relayed; 0 for none. */
    RelayLeg(int call, int withheld, pjmedia_stream *stream, const pjmedia_stream_info &info);

    RelayLeg *other = nullptr;
    std::atomic<int> level{0};  // of the far end's latest packet, as slotLevel() measures it

    /** Take over from the conference, or from the leg that the call had before. */
    void begin(const RelayLeg *before, Clock::time_point now);
    /** Return to the conference: its next packet has the timestamp of its time. */
    void finish(Clock::time_point now);

    void prefetch() const override;
    /** Relay a packet with audio of the far end to the other leg. */
    void takeAudio(const pjmedia_rtp_hdr *header, const void *payload, size_t length) override;
    /** Relay a packet of a press; `duration` is that so far. */
    void relayEvent(const pjmedia_rtp_hdr *header, const void *payload, uint32_t duration);
    /** True if a press of this digit can be relayed. */
    bool canRelayDigit(char digit) const;

    /** Send 20 ms of our own if the far end has got nothing for long: silence, or digits that were queued for it. */
    void fill(Clock::time_point tick);

private:
    SentPacket latest() const;
    void noteSent(const SentPacket &packet, Clock::time_point fillAt);
    void skipTo(const SentPacket &next);
    void relay(const RelayedPacket &packet, int payloadType, const uint8_t *payload, size_t length);
    void advance(const pjmedia_rtp_hdr &header);
    void send(const RelayedHeader &relayed, int payloadType, const uint8_t *payload, size_t length);

    const int withheld_;
    const int eventType_;  // the payload type of the DTMF events that the far end gets; not above 0 if it gets none
    RelayedRtp received_;
    // Of the latest packet to the far end, as in SentPacket. The stream knows its sequence and timestamp.
    uint32_t sentSamples_ = 0;
    Clock::time_point sentAt_;
    Clock::time_point fillAt_;
};

}  // namespace sipbridge

#endif
