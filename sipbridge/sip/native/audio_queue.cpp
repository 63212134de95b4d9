#include "audio_queue.hpp"

#include "g711.hpp"

#include <algorithm>
#include <utility>

namespace sipbridge {

long long AudioQueue::write(const uint8_t *bytes, size_t count, Clock::time_point now) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (count > limit_ - size_) {
        count = limit_ - size_;
        ++counters_.overruns;
    }
    append(bytes, count, now);
    return written_;
}

bool AudioQueue::writeWhole(const uint8_t *bytes, size_t count, Clock::time_point now) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (count > limit_ - size_)
        return false;
    append(bytes, count, now);
    return true;
}

void AudioQueue::append(const uint8_t *bytes, size_t count, Clock::time_point now) {
    if (muted_) {
        written_ += static_cast<long long>(count);
        return;
    }
    if (count && !size_)
        filledAt_ = now;
    noteWait(count, now);
    reserve(size_ + count);
    size_t tail = (head_ + size_) % ring_.size();
    for (size_t i = 0; i < count; ++i) {
        ring_[tail] = bytes[i];
        tail = tail + 1 == ring_.size() ? 0 : tail + 1;
        if ((~bytes[i] & 0x7f) >= AUDIBLE)
            audible_ = written_ + static_cast<long long>(i) + 1;
    }
    size_ += count;
    written_ += static_cast<long long>(count);
    over_ = now + duration(size_);
}

long long AudioQueue::clear() {
    std::lock_guard<std::mutex> lock(mutex_);
    drop();
    return written_;
}

void AudioQueue::mute(bool muted) {
    std::lock_guard<std::mutex> lock(mutex_);
    muted_ = muted;
    drop();
    heard_.clear();
}

void AudioQueue::begin() {
    std::lock_guard<std::mutex> lock(mutex_);
    begins_ = true;
}

void AudioQueue::drop() {
    head_ = size_ = 0;
    flowing_ = dry_ = false;
    due_ = stamped_;
    over_ = Clock::time_point();
}

AudioPosition AudioQueue::position() {
    std::lock_guard<std::mutex> lock(mutex_);
    return AudioPosition{written_, written_ - static_cast<long long>(size_), over_};
}

long long AudioQueue::unheard() {
    std::lock_guard<std::mutex> lock(mutex_);
    return std::max(0LL, audible_ - (written_ - static_cast<long long>(size_)));
}

Turn AudioQueue::next(Clock::time_point tick, uint8_t *packet, size_t count, Pace *pace) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (std::exchange(begins_, false)) {
        // Nothing of this queue was due for a while.
        if (tick - due_ > MOST_DELAY + duration(MAX_PACKET_BYTES))
            due_ = tick;
        stamped_ = due_;
    }
    packetBytes_ = count;
    const bool flowed = flowing_;
    const bool waits = isAwaited(tick, count);
    // Speech may begin at any tick.
    *pace = Pace{0, flowing_ ? due_ : tick};
    if (waits)
        return Turn::Nothing;
    if (flowed != flowing_ || tick - due_ > PASSED_JITTER)
        pace->skipped = resume(tick);
    due_ += duration(count);
    stamped_ += duration(count);
    if (!flowing_)
        return Turn::Silence;
    readSpeech(packet, count);
    pace->due = due_;
    return Turn::Speech;
}

std::chrono::milliseconds AudioQueue::delay() {
    std::lock_guard<std::mutex> lock(mutex_);
    return delay_;
}

bool AudioQueue::hear(const std::string &audio, Clock::time_point now) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (muted_)
        return false;
    const bool had = heard_.size() >= FRAME_BYTES;
    heard_.append(audio);
    if (heard_.size() > MAX_HEARD_BYTES) {
        const size_t frames = (heard_.size() - MAX_HEARD_BYTES + FRAME_BYTES - 1) / FRAME_BYTES;
        heard_.erase(0, frames * FRAME_BYTES);
        counters_.overruns += static_cast<long long>(frames);
    }
    const bool has = heard_.size() >= FRAME_BYTES;
    if (!had && has)
        heardAt_ = now;
    return !had && has;
}

bool AudioQueue::take(std::string *heard, long long *played, Clock::time_point now) {
    std::lock_guard<std::mutex> lock(mutex_);
    const size_t whole = heard_.size() - heard_.size() % FRAME_BYTES;
    if (!whole)
        return false;
    if (now - heardAt_ > FRAME_TIME)
        counters_.late += static_cast<long long>(whole / FRAME_BYTES);
    *heard = heard_.substr(whole);
    heard->swap(heard_);
    heard->resize(whole);
    *played = written_ - static_cast<long long>(size_);
    return true;
}

/**
 * True if no packet is due, or if it waits for the agent: for the rest of its speech, or because the first packet has to
 * wait. An agent in real time sends frames with jitter, which that wait absorbs; more audio in the queue is as good.
 */
bool AudioQueue::isAwaited(Clock::time_point tick, size_t count) {
    if (dry_ && (size_ >= count || (size_ && !flowing_)) && endsUnderrun(tick)) {
        const bool flowed = std::exchange(flowing_, true);
        // Speech goes on at any tick, also between two packets of silence.
        if (!flowed && size_ >= count)
            return false;
    }
    if (flowing_)
        return tick < due_ || (size_ < count && awaitsMore(tick, count));
    if (!size_)
        return tick < due_;
    const Clock::time_point start =
        filledAt_ - READ_TIME + delay_ + duration(count) - duration(size_ < count ? 0 : size_);
    if (tick < start)
        return tick < due_ || start < due_ + duration(count);
    flowing_ = true;
    low_ = high_ = 0;
    watched_ = 0;
    leastWait_ = Clock::duration::max();
    return false;
}

/** Wait for the rest of a packet for as long as the packet is, and for any audio for the longest delay. */
bool AudioQueue::awaitsMore(Clock::time_point tick, size_t count) {
    if (!dry_) {
        dry_ = true;
        dryAt_ = due_;
    }
    if (tick < (size_ ? std::max(dryAt_, filledAt_) + duration(count) : dryAt_ + MOST_DELAY))
        return true;
    flowing_ = size_ > 0;
    return false;
}

/** True if the queue ran dry in the middle of speech; what would have prevented that is learned. */
bool AudioQueue::endsUnderrun(Clock::time_point tick) {
    dry_ = false;
    const auto late = std::chrono::duration_cast<std::chrono::milliseconds>(tick - dryAt_);
    if (late > UNDERRUN_TIME)
        return false;
    if (late <= PASSED_JITTER)
        return true;
    ++counters_.underruns;
    if (flowing_)
        learn(late);
    return true;
}

/** Learn from an underrun: what would have prevented it, and that a step before it came too early. */
void AudioQueue::learn(std::chrono::milliseconds late) {
    delay_ = std::min(MOST_DELAY, delay_ + late);
    calm_ = 0;
    if (std::exchange(stepped_, false))
        patience_ = std::min(MOST_PATIENCE, 2 * patience_);
}

/**
 * Send from now on, after a wait; return the samples for which nothing was sent. Timestamps count these, so that the
 * caller's jitter buffer does not take the wait for jitter.
 */
unsigned AudioQueue::resume(Clock::time_point tick) {
    const Clock::duration skipped = std::max(Clock::duration::zero(), tick - stamped_);
    due_ = tick;
    stamped_ += skipped;
    return static_cast<unsigned>(skipped / SAMPLE_TIME);
}

void AudioQueue::readSpeech(uint8_t *packet, size_t count) {
    // An agent in real time needs this packet and the delay in the queue.
    const size_t inHand = (count - 1) / FRAME_BYTES + 1 + static_cast<size_t>((delay_ + FRAME_TIME) / FRAME_TIME);
    noteDepth(inHand);
    if (standing_ && size_ > inHand * FRAME_BYTES && nextIsSilent())
        skipFrame();
    read(packet, count);
}

void AudioQueue::read(uint8_t *packet, size_t count) {
    const size_t audio = std::min(size_, count);
    const size_t first = std::min(audio, ring_.size() - head_);
    std::copy_n(ring_.begin() + static_cast<std::ptrdiff_t>(head_), first, packet);
    std::copy_n(ring_.begin(), audio - first, packet + first);
    std::fill(packet + audio, packet + count, SILENCE);
    head_ = (head_ + audio) % ring_.size();
    size_ -= audio;
}

/** Note how long the first packet that this audio completes has until it is due. */
void AudioQueue::noteWait(size_t count, Clock::time_point now) {
    const size_t before = size_ / packetBytes_;
    if ((size_ + count) / packetBytes_ > before)
        leastWait_ = std::min(leastWait_, due_ + duration(before * packetBytes_) - now);
}

/**
 * Detect a standing queue. An agent that speaks in real time, stalls and catches up leaves frames in the queue, which
 * delay everything it says from then on. The depth of such a queue stays the same; the queue of an agent that sends
 * ahead of time grows or shrinks.
 */
void AudioQueue::noteDepth(size_t inHand) {
    const size_t frames = size_ / FRAME_BYTES;
    low_ = std::min(low_, frames);
    high_ = std::max(high_, frames);
    if (++watched_ < WATCHED_PACKETS)
        return;
    const bool steady = high_ - low_ <= STEADY_FRAMES;
    standing_ = steady && low_ > inHand;
    low_ = high_ = frames;
    watched_ = 0;
    const Clock::duration wait = std::exchange(leastWait_, Clock::duration::max());
    const bool idle = steady && wait >= LEAST_DELAY + DELAY_STEP - READ_TIME && stamped_ - due_ < MOST_DELAY;
    calm_ = idle ? calm_ + 1 : 0;
    if (calm_ >= patience_)
        shortenWait();
}

/**
 * Send packets earlier, since none needed its wait: the jitter has fallen, or a stall was the only cause of it. Speech
 * cannot be dropped for that. So the caller's jitter buffer gets the packets before the time of their timestamps.
 */
void AudioQueue::shortenWait() {
    calm_ = 0;
    stepped_ = true;
    due_ -= DELAY_STEP;
    delay_ = std::max(LEAST_DELAY, delay_ - DELAY_STEP);
}

bool AudioQueue::nextIsSilent() const {
    for (size_t i = 0; i < FRAME_BYTES; ++i)
        if ((~ring_[(head_ + i) % ring_.size()] & 0x7f) >= AUDIBLE)
            return false;
    return true;
}

/** Drop 20 ms of silence, which no caller misses. */
void AudioQueue::skipFrame() {
    head_ = (head_ + FRAME_BYTES) % ring_.size();
    size_ -= FRAME_BYTES;
}

void AudioQueue::reserve(size_t wanted) {
    if (wanted <= ring_.size())
        return;
    std::vector<uint8_t> larger(std::max<size_t>({wanted, 2 * ring_.size(), 8 * FRAME_BYTES}));
    for (size_t i = 0; i < size_; ++i)
        larger[i] = ring_[(head_ + i) % ring_.size()];
    ring_.swap(larger);
    head_ = 0;
}

}  // namespace sipbridge
