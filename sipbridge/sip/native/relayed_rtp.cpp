#include "relayed_rtp.hpp"

#include "g711.hpp"

namespace sipbridge {

namespace {

// A sequence number that is further away is a restart of the sender.
const int MAX_AHEAD = 100, MAX_BEHIND = 63;
// A timestamp may run ahead of time by the jitter of the network.
const int32_t MOST_JITTER = 1000 * SAMPLES_PER_MILLISECOND;

uint32_t samples(Clock::duration time) {
    return static_cast<uint32_t>(std::max(time, Clock::duration::zero()) / SAMPLE_TIME);
}

int distance(uint16_t from, uint16_t to) { return static_cast<int16_t>(to - from); }

}  // namespace

uint32_t nextTimestamp(const SentPacket &latest, Clock::time_point now) {
    return latest.timestamp + std::max(latest.samples, samples(now - latest.at));
}

std::optional<RelayedHeader> RelayedRtp::pass(const RelayedPacket &packet, const SentPacket &latest,
                                              Clock::time_point now) {
    if (!rate_.take(now))
        return std::nullopt;
    const int ahead = distance(highest_, packet.sequence);
    const bool restarts = isRestart(packet, ahead);
    if (!restarts && ahead <= 0)
        return passLate(packet, -ahead, latest);
    // The leg has sent packets of our own, such as silence.
    const bool interrupted = latest.sequence != static_cast<uint16_t>(highest_ + sequenceShift_);
    const bool begins = restarts || interrupted || isOtherClock(packet, now);
    if (begins) {
        sequenceShift_ = static_cast<uint16_t>(latest.sequence + 1 - packet.sequence);
        timestampShift_ = nextTimestamp(latest, now) - packet.timestamp;
        timed_ = false;
    }
    advance(packet, begins ? 0 : ahead, now);
    return RelayedHeader{static_cast<uint16_t>(packet.sequence + sequenceShift_), timestampOf(packet),
                         packet.marker || (begins && !packet.isEvent), false};
}

bool RelayedRtp::isRestart(const RelayedPacket &packet, int ahead) const {
    return !begun_ || packet.source != source_ || ahead > MAX_AHEAD || ahead < -MAX_BEHIND;
}

/** True if the timestamp goes back, or ahead of time: it is that of another clock. Those of events stand still. */
bool RelayedRtp::isOtherClock(const RelayedPacket &packet, Clock::time_point now) const {
    if (packet.isEvent || !timed_)
        return false;
    const auto passed = static_cast<int32_t>(packet.timestamp - timestamp_);
    return passed <= 0 || passed > static_cast<int32_t>(samples(now - heardAt_)) + MOST_JITTER;
}

/** Pass a packet that others have overtaken, unless it has come before or the leg has sent packets of our own since. */
std::optional<RelayedHeader> RelayedRtp::passLate(const RelayedPacket &packet, int behind, const SentPacket &latest) {
    const uint64_t bit = uint64_t{1} << behind;
    if ((seen_ & bit) || latest.sequence != static_cast<uint16_t>(highest_ + sequenceShift_))
        return std::nullopt;
    seen_ |= bit;
    return RelayedHeader{static_cast<uint16_t>(packet.sequence + sequenceShift_), timestampOf(packet), packet.marker,
                         true};
}

/** Note the packet with the highest sequence number so far; `ahead` is 0 if our numbers before it are taken. */
void RelayedRtp::advance(const RelayedPacket &packet, int ahead, Clock::time_point now) {
    seen_ = ahead == 0 ? ~uint64_t{0} : ahead > MAX_BEHIND ? 1 : (seen_ << ahead) | 1;
    pressed_ = pressed_ && packet.source == source_;
    begun_ = true;
    source_ = packet.source;
    highest_ = packet.sequence;
    if (packet.isEvent)
        return;
    timed_ = true;
    timestamp_ = packet.timestamp;
    heardAt_ = now;
}

uint32_t RelayedRtp::timestampOf(const RelayedPacket &packet) {
    if (!packet.isEvent)
        return packet.timestamp + timestampShift_;
    if (!pressed_ || pressReceived_ != packet.timestamp) {
        pressed_ = true;
        pressReceived_ = packet.timestamp;
        pressSent_ = packet.timestamp + timestampShift_;
    }
    return pressSent_;
}

}  // namespace sipbridge
