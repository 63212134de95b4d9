#include "received_audio.hpp"

#include "audio_queue.hpp"
#include "g711.hpp"

#include <algorithm>
#include <numeric>

namespace sipbridge {

namespace {

constexpr auto PATIENCE = std::chrono::milliseconds(40);
constexpr auto FRAME = std::chrono::milliseconds(20);
// A sequence number that is further away is a restart of the sender if its successor follows (RFC 3550, A.1).
const int MAX_AHEAD = 100, MAX_BEHIND = 100;
// If the clock has slept longer than this, no silence makes up for it.
constexpr auto MAX_OVERDUE = std::chrono::seconds(1);

int32_t samples(Clock::duration time) { return static_cast<int32_t>(time / SAMPLE_TIME); }

int distance(uint16_t from, uint16_t to) { return static_cast<int16_t>(to - from); }

void appendSilence(size_t count, std::string *out) { out->append(count, static_cast<char>(SILENCE)); }

std::string mulawOf(const RtpPacket &packet) {
    if (packet.kind == RtpPacket::NoAudio)
        return "";
    std::string audio(reinterpret_cast<const char *>(packet.bytes), packet.count);
    if (packet.kind == RtpPacket::Alaw)
        mulawFromAlaw(reinterpret_cast<uint8_t *>(audio.data()), audio.size());
    return audio;
}

}  // namespace

void ReceivedAudio::receive(const RtpPacket &packet, Clock::time_point now, std::string *out) {
    if (!begun_ || packet.source != source_)
        begin(packet.source, packet.sequence, out);
    Waiting arrived{packet.sequence, packet.timestamp, now, mulawOf(packet)};
    const int ahead = distance(next_, packet.sequence);
    if (ahead > MAX_AHEAD || ahead < -MAX_BEHIND) {
        receiveStray(std::move(arrived), now, out);
        return;
    }
    stray_.reset();
    if (ahead < 0)
        return;  // a repeated packet, or one that was given up
    if (ahead > 0) {
        hold(std::move(arrived));
        return;
    }
    pass(arrived, now, out);
    passFollowing(now, out);
}

void ReceivedAudio::tick(Clock::time_point now, std::string *out) {
    if (now - due_ > MAX_OVERDUE)
        due_ = now;
    while (now >= due_) {
        if (!waiting_.empty()) {
            next_ = waiting_.front().sequence;
            passFollowing(now, out);
            continue;
        }
        appendSilence(FRAME_BYTES, out);
        silence_ += FRAME_BYTES;
        due_ += FRAME;
    }
}

/** Begin with another sequence and clock. The packets that wait are older, and pass. */
void ReceivedAudio::begin(uint32_t source, uint16_t sequence, std::string *out) {
    for (const Waiting &each : waiting_)
        out->append(each.audio);
    waiting_.clear();
    stray_.reset();
    begun_ = true;
    source_ = source;
    next_ = sequence;
    timed_ = false;
}

/** Decide about a packet whose sequence number is far from the expected one: two in a row are a restart. */
void ReceivedAudio::receiveStray(Waiting &&arrived, Clock::time_point now, std::string *out) {
    if (!stray_ || distance(stray_->sequence, arrived.sequence) != 1) {
        stray_ = std::move(arrived);
        return;
    }
    const Waiting first = *std::move(stray_);
    begin(source_, first.sequence, out);
    pass(first, now, out);
    pass(arrived, now, out);
}

void ReceivedAudio::hold(Waiting &&arrived) {
    const auto at = std::find_if(waiting_.begin(), waiting_.end(),
                                 [&](const Waiting &each) { return distance(arrived.sequence, each.sequence) >= 0; });
    if (at == waiting_.end() || at->sequence != arrived.sequence)
        waiting_.insert(at, std::move(arrived));
}

void ReceivedAudio::pass(const Waiting &packet, Clock::time_point now, std::string *out) {
    next_ = static_cast<uint16_t>(packet.sequence + 1);
    if (packet.audio.empty())
        return;
    if (timed_)
        fillGap(packet, now, out);
    out->append(packet.audio);
    timed_ = true;
    end_ = packet.timestamp + static_cast<uint32_t>(packet.audio.size());
    ended_ = packet.arrived + duration(packet.audio.size());
    silence_ = 0;
    due_ = ended_ + PATIENCE;
}

void ReceivedAudio::passFollowing(Clock::time_point now, std::string *out) {
    size_t passed = 0;
    for (; passed < waiting_.size() && waiting_[passed].sequence == next_; ++passed)
        pass(waiting_[passed], now, out);
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(passed));
}

/**
 * Append the silence between the last audio and this packet, unless it has passed already. A timestamp that jumps
 * further than time has is that of another clock. Packets keep their position in the listener's frames.
 */
void ReceivedAudio::fillGap(const Waiting &packet, Clock::time_point now, std::string *out) {
    const auto gap = static_cast<int32_t>(packet.timestamp - end_);
    const int32_t elapsed = samples(now - ended_ + FRAME);
    if (gap <= 0 || gap > elapsed || static_cast<size_t>(gap) <= silence_)
        return;
    const size_t missing = static_cast<size_t>(gap) - silence_;
    appendSilence(missing - missing % std::gcd(packet.audio.size(), FRAME_BYTES), out);
}

}  // namespace sipbridge
