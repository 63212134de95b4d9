/*
 * The audio of one WebSocket agent, mu-law at 8 kHz (ITU-T G.711): a queue to the caller, and a queue from the caller.
 * It includes nothing of PJSIP, so that it can be tested alone (tests/native). Every function may be called from any
 * thread.
 */
#ifndef SIPBRIDGE_AUDIO_QUEUE_HPP
#define SIPBRIDGE_AUDIO_QUEUE_HPP

#include "rate_limits.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace sipbridge {

const size_t FRAME_BYTES = 160;  // 20 ms
constexpr auto FRAME_TIME = std::chrono::milliseconds(20);
// The longest packet that a caller gets: 60 ms.
const size_t MAX_PACKET_BYTES = 3 * FRAME_BYTES;
// The least mu-law magnitude (the inverted low seven bits) that can be heard: -42 dB of full scale.
const uint8_t AUDIBLE = 0x18;
const uint8_t SILENCE = 0xff;
// The most audio of a caller that waits for the event loop: a second. Beyond it, the oldest is dropped.
const size_t MAX_HEARD_BYTES = 50 * FRAME_BYTES;
// A queue that is empty for longer than this is not an underrun: the agent had finished speaking.
constexpr auto UNDERRUN_TIME = std::chrono::milliseconds(100);
// The delay of the first frame of an agent that speaks in real time: at first, and at most. An underrun adds its length.
constexpr auto LEAST_DELAY = std::chrono::milliseconds(5);
constexpr auto MOST_DELAY = std::chrono::milliseconds(60);
// Agents' sockets are read within this time after a tick. It does not count, so that the first frame is sent at the next
// tick, 5 ms after the one that found it.
constexpr auto READ_TIME = std::chrono::milliseconds(1);
// A frame that is no later than this is not an underrun: it is sent at once, and the next one when it is due. The
// jitter buffer of any caller absorbs that.
constexpr auto PASSED_JITTER = std::chrono::milliseconds(10);
// If all frames within so many packets (a second) waited longer than they had to, packets are sent this much earlier.
const int WATCHED_PACKETS = 50;
constexpr auto DELAY_STEP = std::chrono::milliseconds(5);
// After an underrun that follows such a step, the next step takes twice as many packets, at most this many times.
const int MOST_PATIENCE = 16;
// A queue whose depth varies by no more than so many frames in that time is that of an agent in real time.
const size_t STEADY_FRAMES = 3;

/** Counters of all queues since the start of the process. */
struct AudioCounters {
    std::atomic<long long> underruns{0}, overruns{0}, late{0};
};

/** The packet that a tick of the clock sends to the caller. */
enum class Turn {
    Nothing,  // no packet is due, or it waits for the agent's next frame
    Silence,  // the agent is silent
    Speech,   // the agent's audio
};

/** The times of a queue's packets. */
struct Pace {
    unsigned skipped = 0;   // samples before this packet for which nothing was sent
    Clock::time_point due;  // of the next packet; until then, a tick sends nothing
};

/** How far a queue to the caller is. In Python a tuple of these fields, in this order, with the time in seconds. */
struct AudioPosition {
    long long written = 0, played = 0;  // bytes since the beginning; cleared audio counts as played
    // When all audio is over that was in the queue after the last write; the beginning of the clock if it was cleared.
    Clock::time_point over;
};

class AudioQueue {
public:
    /** @param limit  the most bytes that wait for the caller. */
    AudioQueue(size_t limit, AudioCounters *counters) : limit_(limit), counters_(*counters) {}

    /** Queue audio for the caller; return the bytes queued since the beginning. Audio over the limit is dropped. */
    long long write(const uint8_t *bytes, size_t count, Clock::time_point now);

    /** Queue audio for the caller, unless the queue has no space for all of it; then return false. */
    bool writeWhole(const uint8_t *bytes, size_t count, Clock::time_point now);

    /** Drop the queued audio; return the bytes that have been played or cleared since the beginning. */
    long long clear();

    /** Drop the audio both ways from now on, queued audio included, or no more. Dropped audio counts as played. */
    void mute(bool muted);

    /** How far the queue is. */
    AudioPosition position();

    /** Return how many more bytes must be played until all audible audio has been. */
    long long unheard();

    /** Note that next() is called for another RTP stream from now on, whose timestamps begin with its first packet. */
    void begin();

    /**
     * Decide what to send at this tick of the clock, in a packet of `count` bytes. `packet` gets the next audio for
     * `Speech`, filled up with silence.
     */
    Turn next(Clock::time_point tick, uint8_t *packet, size_t count, Pace *pace);

    /** The delay of the next first frame of an agent that speaks in real time. */
    std::chrono::milliseconds delay();

    /** Queue audio from the caller; true if there was no whole frame before, and now there is. For the clock. */
    bool hear(const std::string &audio, Clock::time_point now);

    /**
     * Move the caller's audio, in whole frames, into `heard`, and set `played` to the bytes that have been played or
     * cleared; false if there is no whole frame.
     */
    bool take(std::string *heard, long long *played, Clock::time_point now);

private:
    void append(const uint8_t *bytes, size_t count, Clock::time_point now);
    void drop();
    bool isAwaited(Clock::time_point tick, size_t count);
    bool awaitsMore(Clock::time_point tick, size_t count);
    bool endsUnderrun(Clock::time_point tick);
    unsigned resume(Clock::time_point tick);
    void readSpeech(uint8_t *packet, size_t count);
    void noteWait(size_t count, Clock::time_point now);
    void noteDepth(size_t inHand);
    void shortenWait();
    void learn(std::chrono::milliseconds late);
    bool nextIsSilent() const;
    void skipFrame();
    void read(uint8_t *packet, size_t count);
    void reserve(size_t wanted);

    std::mutex mutex_;
    const size_t limit_;
    AudioCounters &counters_;
    std::vector<uint8_t> ring_ = std::vector<uint8_t>(8 * FRAME_BYTES);
    size_t head_ = 0, size_ = 0;
    long long written_ = 0, audible_ = 0;
    bool muted_ = false;
    bool begins_ = true;  // no packet was due since begin()
    Clock::time_point over_;  // as in AudioPosition
    Clock::time_point due_;  // of the next packet
    Clock::time_point stamped_;  // the time that its timestamp stands for; later than due_ if packets became earlier
    size_t packetBytes_ = FRAME_BYTES;
    Clock::time_point filledAt_;  // when audio came to the empty queue
    bool flowing_ = false;  // the agent speaks: packets are sent when they are due
    bool dry_ = false;  // the queue had no whole packet during speech, since dryAt_
    Clock::time_point dryAt_;
    std::chrono::milliseconds delay_ = LEAST_DELAY;
    // Of the packets watched: the shortest wait of audio in the queue, and the depth of the queue in frames.
    Clock::duration leastWait_ = Clock::duration::max();
    size_t low_ = 0, high_ = 0;
    int watched_ = 0;
    bool standing_ = false;
    int patience_ = 1, calm_ = 0;  // the times that packets are watched for a step, and have been
    bool stepped_ = false;  // there was a step since the last underrun
    std::string heard_;
    Clock::time_point heardAt_;  // when its first frame was complete
};

}  // namespace sipbridge

#endif
