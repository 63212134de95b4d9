/*
 * The audio of one WebSocket agent, mu-law at 8 kHz (ITU-T G.711): a queue to the caller, and what the caller has said.
 * Knows nothing of PJSIP, so that it can be tested alone (tests/native). Every function may be called from any thread.
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
// A mu-law magnitude (the inverted low seven bits) that can be heard: -42 dB of full scale and more.
const uint8_t AUDIBLE = 0x18;
const uint8_t SILENCE = 0xff;
// What the event loop may leave before the oldest is dropped: a second.
const size_t MAX_HEARD_BYTES = 50 * FRAME_BYTES;
// A queue that is empty for longer than this was not late: the agent had said what it wanted to.
const int UNDERRUN_TURNS = 5;
// Frames that an agent in real time may have in hand; a second of more, by no more than that up and down, is a delay.
const size_t FRAMES_IN_HAND = 3;
const int STANDING_TURNS = 50;

/** Events since the start of the process, of all queues. */
struct AudioCounters {
    std::atomic<long long> underruns{0}, overruns{0}, late{0};
};

class AudioQueue {
public:
    /** @param limit  the most bytes that wait for the caller. */
    AudioQueue(size_t limit, AudioCounters *counters) : limit_(limit), counters_(*counters) {}

    /** Queue audio for the caller; return how many bytes were ever queued. What is over the limit is dropped. */
    long long write(const uint8_t *bytes, size_t count);

    /** Drop what is queued; return how many bytes have left or were cleared. */
    long long clear();

    /** Return how many more bytes must leave until all that can be heard has left. */
    long long unheard();

    /** Called by the clock: the next 20 ms for the caller, ended with silence; false if there is nothing to play. */
    bool read(uint8_t *frame);

    /** Called by the clock: 20 ms that the caller has said, null for none. */
    void hear(const uint8_t *frame);

    /** Move what the caller has said into `heard`, and how many bytes have left into `played`; false if it is nothing. */
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
    int dryTurns_ = 0;  // since the queue ran dry
    size_t low_ = 0, high_ = 0;
    int depthTurns_ = 0;
    bool standing_ = false;
    std::string heard_;
};

}  // namespace sipbridge

#endif
