/*
 * The audio of one WebSocket agent, mu-law at 8 kHz (ITU-T G.711): a queue to the caller, and a queue from the caller.
 * It includes nothing of PJSIP, so that it can be tested alone (tests/native). Every function may be called from any
 * thread.
 */
#ifndef SIPBRIDGE_AUDIO_QUEUE_HPP
#define SIPBRIDGE_AUDIO_QUEUE_HPP

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace sipbridge {

const size_t FRAME_BYTES = 160;  // 20 ms
// The least mu-law magnitude (the inverted low seven bits) that can be heard: -42 dB of full scale.
const uint8_t AUDIBLE = 0x18;
const uint8_t SILENCE = 0xff;
// The most audio of a caller that waits for the event loop: a second. Beyond it, the oldest is dropped.
const size_t MAX_HEARD_BYTES = 50 * FRAME_BYTES;
// A queue that is empty for longer than this is not an underrun: the agent had finished speaking.
const int UNDERRUN_TURNS = 5;
// The frames that an agent in real time may have queued. A queue that is deeper for a second, and whose depth varies by
// no more than that number, is a delay.
const size_t FRAMES_IN_HAND = 3;
const int STANDING_TURNS = 50;

/** Counters of all queues since the start of the process. */
struct AudioCounters {
    std::atomic<long long> underruns{0}, overruns{0}, late{0};
};

class AudioQueue {
public:
    /** @param limit  the most bytes that wait for the caller. */
    AudioQueue(size_t limit, AudioCounters *counters) : limit_(limit), counters_(*counters) {}

    /** Queue audio for the caller; return the bytes queued since the beginning. Audio over the limit is dropped. */
    long long write(const uint8_t *bytes, size_t count);

    /** Drop the queued audio; return the bytes that have been played or cleared since the beginning. */
    long long clear();

    /** Return how many more bytes must be played until all audible audio has been. */
    long long unheard();

    /** Read the next 20 ms for the caller, filled up with silence; false if there is nothing to play. For the clock. */
    bool read(uint8_t *frame);

    /** Queue 20 ms from the caller; null means silence. For the clock. */
    void hear(const uint8_t *frame);

    /**
     * Move the caller's audio into `heard`, and set `played` to the bytes that have been played or cleared; false if
     * the caller has sent nothing since the last time.
     */
    bool take(std::string *heard, long long *played);

private:
    void noteDepth();
    bool nextIsSilent() const;
    void skipFrame();
    void reserve(size_t wanted);

    std::mutex mutex_;
    const size_t limit_;
    AudioCounters &counters_;
    std::vector<uint8_t> ring_ = std::vector<uint8_t>(8 * FRAME_BYTES);
    size_t head_ = 0, size_ = 0;
    long long written_ = 0, audible_ = 0;
    bool flowing_ = false, waited_ = false;
    int dryTurns_ = 0;  // turns since the queue ran dry
    size_t low_ = 0, high_ = 0;
    int depthTurns_ = 0;
    bool standing_ = false;
    std::string heard_;
};

}  // namespace sipbridge

#endif
