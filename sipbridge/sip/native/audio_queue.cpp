#include "audio_queue.hpp"

#include <algorithm>

namespace sipbridge {

long long AudioQueue::write(const uint8_t *bytes, size_t count) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (count > limit_ - size_) {
        count = limit_ - size_;
        ++counters_.overruns;
    }
    if (count && dryTurns_ > 0 && dryTurns_ <= UNDERRUN_TURNS)
        ++counters_.underruns;
    if (count)
        dryTurns_ = 0;
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
    return written_;
}

long long AudioQueue::clear() {
    std::lock_guard<std::mutex> lock(mutex_);
    head_ = size_ = 0;
    flowing_ = waited_ = false;
    dryTurns_ = 0;
    return written_;
}

long long AudioQueue::unheard() {
    std::lock_guard<std::mutex> lock(mutex_);
    return std::max(0LL, audible_ - (written_ - static_cast<long long>(size_)));
}

bool AudioQueue::read(uint8_t *frame) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!size_) {
        if (flowing_)
            dryTurns_ = 1;
        else if (dryTurns_)
            ++dryTurns_;
        flowing_ = waited_ = standing_ = false;
        low_ = high_ = 0;
        depthTurns_ = 0;
        return false;
    }
    // The frames of an agent that speaks in real time arrive with jitter, so playing begins with two frames in the
    // queue.
    if (!flowing_ && !waited_ && size_ < 2 * FRAME_BYTES) {
        waited_ = true;
        return false;
    }
    flowing_ = true;
    noteDepth();
    if (standing_ && size_ > FRAMES_IN_HAND * FRAME_BYTES && nextIsSilent())
        skipFrame();
    const size_t count = std::min(size_, FRAME_BYTES);
    for (size_t i = 0; i < count; ++i) {
        frame[i] = ring_[head_];
        head_ = head_ + 1 == ring_.size() ? 0 : head_ + 1;
    }
    std::fill(frame + count, frame + FRAME_BYTES, SILENCE);
    size_ -= count;
    return true;
}

void AudioQueue::hear(const uint8_t *frame) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (heard_.size() >= MAX_HEARD_BYTES) {
        heard_.erase(0, FRAME_BYTES);
        ++counters_.overruns;
    }
    if (frame)
        heard_.append(reinterpret_cast<const char *>(frame), FRAME_BYTES);
    else
        heard_.append(FRAME_BYTES, static_cast<char>(SILENCE));
}

bool AudioQueue::take(std::string *heard, long long *played) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (heard_.empty())
        return false;
    counters_.late += static_cast<long long>(heard_.size() / FRAME_BYTES) - 1;
    heard->swap(heard_);
    *played = written_ - static_cast<long long>(size_);
    return true;
}

/**
 * Detect a standing queue. An agent that speaks in real time, stalls and catches up leaves frames in the queue, which
 * delay everything it says from then on. The depth of such a queue stays the same; the queue of an agent that sends
 * ahead of time grows or shrinks.
 */
void AudioQueue::noteDepth() {
    const size_t frames = size_ / FRAME_BYTES;
    low_ = std::min(low_, frames);
    high_ = std::max(high_, frames);
    if (++depthTurns_ < STANDING_TURNS)
        return;
    standing_ = low_ > FRAMES_IN_HAND && high_ - low_ <= FRAMES_IN_HAND;
    low_ = high_ = frames;
    depthTurns_ = 0;
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
