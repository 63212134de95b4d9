/*
 * The audio streams of WebSocket agents, by number. The event loop writes and takes audio, and the media clock reads
 * and fills the queues. Every function may be called from any thread.
 */
#ifndef SIPBRIDGE_AUDIO_STREAMS_HPP
#define SIPBRIDGE_AUDIO_STREAMS_HPP

#include "audio_queue.hpp"

#include <memory>
#include <string>
#include <vector>

namespace sipbridge {

/** The audio of one stream for the event loop. In Python a tuple of these fields, in this order. */
struct AudioTurn {
    int stream;
    std::string heard;   // from the caller, a multiple of 160 bytes; empty if it was sent to the agent's socket
    long long played;    // the bytes written that have been played or cleared
    std::string unsent;  // bytes for the agent that Python has to send, before anything else
};

/** The faults of audio since the start, counted. In Python a tuple of these fields, in this order. */
struct AudioCounts {
    // Queues that ran dry in the middle of speech.
    long long underruns;
    // Writes that were dropped in part or as a whole, and 20 ms frames of callers that the event loop did not take in
    // time.
    long long overruns;
    // Turns of the clock, and 20 ms frames of callers in the event loop, that were over 20 ms late.
    long long late;
    // RTP packets that did not come from the far end (origin.hpp).
    long long stray;
};

/** A file descriptor that is readable when a turn of the clock has left something for takeAudio() or readSockets(). */
int audioDescriptor();
/**
 * Take the audio that all streams have received since the last time. A stream whose
 * audio was sent to an agent's socket (agent_sockets.hpp) has no turn, if it has nothing else to report.
 */
std::vector<AudioTurn> takeAudio();
AudioCounts audioCounts();
/** The longest delay by which a stream absorbs its agent's jitter at present, in microseconds; 0 without a stream. */
long long audioDelay();

/** Open a stream that queues at most `maxBytes`; return its number. */
int audioOpen(int maxBytes);
/** Queue audio for the caller; return the bytes queued since the beginning. Audio over the limit is dropped. */
long long audioWrite(int stream, const std::string &audio);
/** How far the queue to the caller is. */
AudioPosition audioPosition(int stream);
/**
 * Pass audio between the queues and an agent's socket, past Python, until closeSocket(); with -1 as the descriptor,
 * Python reads and writes the bytes. On the event loop.
 */
void audioConnect(int stream, int descriptor, const std::string &streamSid);
/** Drop the queued audio; return the bytes that have been played or cleared since the beginning. */
long long audioClear(int stream);
/** Drop the audio both ways from now on, or no more. Dropped audio counts as played. */
void audioMute(int stream, bool muted);
/** Return how many more bytes must be played until all audible audio has been. */
long long audioUnheard(int stream);
/** Close a stream; its port plays silence from now on. */
void audioClose(int stream);

#ifndef SWIG
/** The queue of a stream; null if it was closed. */
std::shared_ptr<AudioQueue> audioQueue(int stream);
/** The counters of all queues; the media clock adds its own late turns. */
AudioCounters &audioCounters();
/** Queue audio from the caller, which notifyTurn() reports. For the clock. */
void hearAudio(int stream, AudioQueue &queue, const std::string &audio);
/** Wake the event loop after a turn of the clock, if a stream has audio for it, or an agent has sent something. */
void notifyTurn();
#endif

}  // namespace sipbridge

#endif
