#include "relayed_rtp.hpp"

#include "g711.hpp"

namespace sipbridge {

namespace {

// A sequence number that is further away is a restart of the sender.
const int MAX_AHEAD = 100, MAX_BEHIND = 63;
// A timestamp may run ahead of time by the jitter of the network.
const int32_t MOST_JITTER = 1000 * SAMPLES_PER_MILLISECOND;
// Audio that comes later, but with the next timestamp, is that of a clock that stood still.
constexpr auto MOST_LATE = std::chrono::milliseconds(200);
// Bursts that come at the sender's pace begin so regularly.
constexpr auto MOST_BEHIND = std::chrono::milliseconds(60);
// Audio that is covered by packets of our own, and does not catch up with time, is that of a clock that stands still in
// pauses, or of a slower network. Once such audio has caught up with time, it is measured for so long.
constexpr auto COVERED_TIME = std::chrono::milliseconds(40);
// A network that lets the first packets through one by one lets the others go within this time.
constexpr auto TRIAL_TIME = std::chrono::milliseconds(1000);
// A burst is at most as long as the pause before silence.
constexpr auto MOST_BURST = std::chrono::milliseconds(200);

uint32_t samples(Clock::duration time) {
    return static_cast<uint32_t>(std::max(time, Clock::duration::zero()) / SAMPLE_TIME);
}

/** The time that the timestamp of a packet stands for that begins now, after the latest one. */
Clock::time_point nextTime(const SentPacket &latest, Clock::time_point now) {
    return std::max(now, latest.at + duration(latest.samples));
}

uint32_t nextTimestamp(const SentPacket &latest, Clock::time_point now) {
    return latest.timestamp + samples(nextTime(latest, now) - latest.at);
}

int distance(uint16_t from, uint16_t to) { return static_cast<int16_t>(to - from); }

}  // namespace

SentPacket ownPacket(const SentPacket &latest, uint32_t samples, Clock::time_point now) {
    return SentPacket{static_cast<uint16_t>(latest.sequence + 1), nextTimestamp(latest, now), samples,
                      nextTime(latest, now)};
}

/**
 * The time that audio stands for follows from its timestamp, so that a lead is not forgotten and a pause takes it back.
 * Jitter and stalls must not move it; a clock that is slower than ours does, by a sample per packet.
 */
SentPacket relayedPacket(const SentPacket &latest, const RelayedHeader &header, const RelayedPacket &packet,
                         Clock::time_point now) {
    const int64_t distance = static_cast<int32_t>(header.timestamp - latest.timestamp);
    const auto passed = static_cast<uint32_t>(std::max(distance, int64_t{0}));
    const Clock::time_point at = latest.at + duration(passed);
    if (!packet.isEvent)
        return SentPacket{header.sequence, header.timestamp, packet.samples,
                          std::max({at, std::min(now, at + SAMPLE_TIME), now - MOST_LATE})};
    // An event may have an earlier timestamp than the audio before it, and then that stays the latest.
    const int64_t end = std::max(distance + packet.samples, int64_t{latest.samples});
    return SentPacket{header.sequence, latest.timestamp + passed, static_cast<uint32_t>(end) - passed, at};
}

std::optional<RelayedHeader> RelayedRtp::pass(const RelayedPacket &packet, const SentPacket &latest,
                                              Clock::time_point now) {
    if (!rate_.take(now) || isLostPress(packet))
        return std::nullopt;
    const int ahead = distance(highest_, packet.sequence);
    const bool otherSender = !begun_ || packet.source != source_;
    const bool restarts = otherSender || ahead > MAX_AHEAD || ahead < -MAX_BEHIND;
    if (!restarts && ahead <= 0)
        return passLate(packet, -ahead, latest, now);
    bool otherClock = otherSender || isOtherClock(packet, now);
    interrupted_ = !otherClock && (interrupted_ || !follows(latest));
    if (!otherClock && !packet.isEvent)
        judgeTrial(packet, latest, now);
    std::optional<Trial> trial;
    if (interrupted_ && !packet.isEvent && isCovered(packet, latest)) {
        if (!standsStill(packet, now)) {
            advance(packet, 0, now);
            return std::nullopt;
        }
        otherClock = true;
        trial = trialOf(packet, now);
    }
    if (otherClock) {
        beginClock(nextTimestamp(latest, now) - packet.timestamp);
        trial_ = trial;
    }
    const bool renumbers = restarts || otherClock || !follows(latest);
    if (renumbers)
        sequenceShift_ = static_cast<uint16_t>(latest.sequence + 1 - packet.sequence);
    const bool begins = (renumbers || interrupted_) && !packet.isEvent;
    advance(packet, renumbers ? 0 : ahead, now);
    const RelayedHeader header{static_cast<uint16_t>(packet.sequence + sequenceShift_),
                               timestampOf(packet, latest, now), packet.marker || begins, false};
    if (!packet.isEvent) {
        interrupted_ = false;
        covered_.reset();
    }
    return header;
}

RelayedRtp RelayedRtp::toOtherStream() const {
    RelayedRtp next;
    next.source_ = source_;
    next.pressed_ = next.pressLost_ = pressed_;
    next.pressReceived_ = pressReceived_;
    next.rate_ = rate_;
    return next;
}

bool RelayedRtp::isLostPress(const RelayedPacket &packet) const {
    return packet.isEvent && pressLost_ && packet.source == source_ && packet.timestamp == pressReceived_;
}

/** True if the leg has sent no packets of our own since the packet with the highest sequence number. */
bool RelayedRtp::follows(const SentPacket &latest) const {
    return latest.sequence == static_cast<uint16_t>(highest_ + sequenceShift_);
}

/** True if the timestamp goes back, or ahead of time: it is that of another clock. Those of events stand still. */
bool RelayedRtp::isOtherClock(const RelayedPacket &packet, Clock::time_point now) const {
    if (packet.isEvent || !audio_)
        return false;
    const auto passed = static_cast<int32_t>(packet.timestamp - audio_->timestamp);
    return passed <= 0 || passed > static_cast<int32_t>(samples(now - audio_->at)) + MOST_JITTER;
}

/** True if the far end has got packets of our own for the time in which this one begins, and after it. */
bool RelayedRtp::isCovered(const RelayedPacket &packet, const SentPacket &latest) const {
    return static_cast<int32_t>(packet.timestamp + timestampShift_ - latest.timestamp) < 0;
}

/**
 * True if the first covered packet begins a talkspurt (RFC 3551, 4.1), or if those after it do not catch up with time.
 * Packets of a burst come sooner than half their length after each other.
 */
bool RelayedRtp::standsStill(const RelayedPacket &packet, Clock::time_point now) {
    const Received present{packet.timestamp, now};
    if (!covered_) {
        covered_ = present;
        heldUp_.reset();
        return packet.marker;
    }
    if (now - covered_->at < (heldUp_ ? COVERED_TIME : duration(packet.samples) / 2))
        return false;
    const bool isHeldUp = catchesUp(packet, *covered_, now);
    if (isHeldUp)
        heldUp_ = covered_;
    covered_ = present;
    return !isHeldUp;
}

/** True if more audio has come since an earlier packet than time has passed, as after a network has held it up. */
bool RelayedRtp::catchesUp(const RelayedPacket &packet, const Received &since, Clock::time_point now) {
    return packet.timestamp - since.timestamp > samples(now - since.at) + packet.samples;
}

/** A packet that comes at its time after one that seemed to be held up begins a burst as that one did. */
RelayedRtp::Trial RelayedRtp::trialOf(const RelayedPacket &packet, Clock::time_point now) const {
    const bool isBurst = heldUp_ && !catchesUp(packet, *heldUp_, now) &&
                         now - heldUp_->at <= duration(packet.timestamp - heldUp_->timestamp) + MOST_BEHIND;
    return Trial{{packet.timestamp, now}, timestampShift_, isBurst ? MOST_BURST : Clock::duration::zero()};
}

/**
 * Return to the clock before if the packets of a new one catch up with time: it did not stand still. Packets of our own
 * end a trial, too: a second stall may have held up all that follows.
 */
void RelayedRtp::judgeTrial(const RelayedPacket &packet, const SentPacket &latest, Clock::time_point now) {
    if (!trial_ || !audio_ || audio_->at - trial_->first.at > TRIAL_TIME)
        return;
    const bool isHeldUp = catchesUp(packet, trial_->first, now + trial_->burst);
    if (!isHeldUp && follows(latest))
        return;
    timestampShift_ = trial_->shiftBefore;
    if (isHeldUp) {
        heldUp_ = trial_->first;
        covered_ = Received{packet.timestamp, now};
        interrupted_ = true;
    }
    trial_.reset();
}

void RelayedRtp::beginClock(uint32_t shift) {
    timestampShift_ = shift;
    audio_.reset();
    covered_.reset();
    interrupted_ = false;
}

/** Pass a packet that others have overtaken, unless it has come before or the leg has sent packets of our own since. */
std::optional<RelayedHeader> RelayedRtp::passLate(const RelayedPacket &packet, int behind, const SentPacket &latest,
                                                  Clock::time_point now) {
    const uint64_t bit = uint64_t{1} << behind;
    if ((seen_ & bit) || !follows(latest))
        return std::nullopt;
    seen_ |= bit;
    return RelayedHeader{static_cast<uint16_t>(packet.sequence + sequenceShift_), timestampOf(packet, latest, now),
                         packet.marker, true};
}

/** Note the packet with the highest sequence number so far; `ahead` is 0 if our numbers before it are taken. */
void RelayedRtp::advance(const RelayedPacket &packet, int ahead, Clock::time_point now) {
    seen_ = ahead == 0 ? ~uint64_t{0} : ahead > MAX_BEHIND ? 1 : (seen_ << ahead) | 1;
    pressed_ = pressed_ && packet.source == source_;
    pressLost_ = pressLost_ && pressed_;
    begun_ = true;
    source_ = packet.source;
    highest_ = packet.sequence;
    if (!packet.isEvent)
        audio_ = Received{packet.timestamp, now};
}

/** A press that begins in a time that packets of our own have covered begins now, as no press may be lost. */
uint32_t RelayedRtp::timestampOf(const RelayedPacket &packet, const SentPacket &latest, Clock::time_point now) {
    if (!packet.isEvent)
        return packet.timestamp + timestampShift_;
    if (!pressed_ || pressReceived_ != packet.timestamp) {
        pressed_ = true;
        pressLost_ = false;
        pressReceived_ = packet.timestamp;
        const bool covered = interrupted_ && isCovered(packet, latest);
        pressSent_ = covered ? nextTimestamp(latest, now) : packet.timestamp + timestampShift_;
    }
    return pressSent_;
}

}  // namespace sipbridge
