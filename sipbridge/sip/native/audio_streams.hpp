/*
 * The audio streams of WebSocket agents, by number: what the event loop writes and takes, and what the media clock reads.
 * These functions may be called from any thread.
 */
#ifndef SIPBRIDGE_AUDIO_STREAMS_HPP
#define SIPBRIDGE_AUDIO_STREAMS_HPP

#include "audio_queue.hpp"

#include <memory>
#include <string>
#include <vector>

namespace sipbridge {

/** What a stream has for the event loop. In Python a tuple of these, in this order. */
struct AudioTurn {
    int stream;
    std::string heard;   // from the caller, a multiple of 160 bytes
    long long played;    // of all bytes written, those that have left or were cleared
};

/** What went wrong with audio since the start. In Python a tuple of these, in this order. */
struct AudioCounts {
    long long underruns;  // a queue that ran dry in the middle of speech
    long long
        overruns;  // writes that were dropped in part or whole, and 20 ms of a caller that the event loop did not take in time
    long long late;  // turns of the clock, and 20 ms frames of callers, that were over 20 ms late
    long long stray;  // RTP packets that came from elsewhere than the far end (origin.hpp)
};

/** A file descriptor that is readable when a turn of the clock has left something for takeAudio(). */
int audioDescriptor();
/** Take what all streams have heard since the last time. */
std::vector<AudioTurn> takeAudio();
AudioCounts audioCounts();

/** Open a stream that queues at most so many bytes; returns its number. */
int audioOpen(int maxBytes);
/** Queue audio for the caller; returns how many bytes were ever queued. What is over the limit is dropped. */
long long audioWrite(int stream, const std::string &audio);
/** Drop what is queued; returns how many bytes have left or were cleared. */
long long audioClear(int stream);
/** How many more bytes must leave until all that can be heard has left. */
long long audioUnheard(int stream);
/** Forget a stream; its port plays silence from now on. */
void audioClose(int stream);

#ifndef SWIG
/** The queue of a stream; null if it was closed. */
std::shared_ptr<AudioQueue> audioQueue(int stream);
/** The counters of all queues; the media clock adds its own late turns. */
AudioCounters &audioCounters();
/** Wake the event loop, if there is a stream: a turn of the clock is over. */
void notifyTurn();
#endif

}  // namespace sipbridge

#endif
