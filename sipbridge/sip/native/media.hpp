/*
 * What sipbridge adds to pjsua2 for audio: the clock that moves it, clips, and the streams of WebSocket agents. No Python
 * runs on the clock's thread. The functions of audio streams may be called from any thread, all else from the SIP thread.
 */
#ifndef SIPBRIDGE_MEDIA_HPP
#define SIPBRIDGE_MEDIA_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace sipbridge {

/**
 * Read the RTP that came and move the conference's audio, every 20 ms in a thread of its own, until stopMediaClock();
 * after Endpoint::libStart.
 *
 * It takes the place of PJSUA's null sound device, and knows when a turn is over: the event loop hears of its audio at
 * once and only once. It takes the place of PJMEDIA's thread for sockets as well.
 */
void startMediaClock() PJSUA2_THROW(pj::Error);
/** Before Endpoint::libDestroy. */
void stopMediaClock();

/** Sixteen-bit mono audio at another rate, by libsamplerate's band-limited converter. Rates in Hz. */
std::string resample(const std::string &pcm, int fromRate, int toRate) PJSUA2_THROW(pj::Error);

/** Connect two conference slots in one direction. */
void connectSlots(int source, int sink) PJSUA2_THROW(pj::Error);
/** Undo that; nothing where one of them is gone. */
void disconnectSlots(int source, int sink);
/** How loud a conference slot has been in the last 20 ms, 0 to 255: the average as a mu-law magnitude (G.711). */
int slotLevel(int slot);

/** Sixteen-bit mono audio at 8 kHz, shared by all who play it. */
class Clip {
public:
    explicit Clip(const std::string &pcm)
        : samples_(std::make_shared<std::vector<int16_t>>(
              reinterpret_cast<const int16_t *>(pcm.data()),
              reinterpret_cast<const int16_t *>(pcm.data()) + pcm.size() / 2)) {}
    std::shared_ptr<const std::vector<int16_t>> samples() const { return samples_; }

private:
    std::shared_ptr<const std::vector<int16_t>> samples_;
};

/** Plays a clip once into the conference, then silence. */
class ClipPlayer : public pj::AudioMedia {
public:
    /** @param token  what the ClipDone event carries when the last sample has left. */
    ClipPlayer(const Clip &clip, int token) PJSUA2_THROW(pj::Error);
    virtual ~ClipPlayer();
};

// ---------------------------------------------------------------- audio streams: mu-law, 8 kHz (ITU-T G.711)

/** What a stream has for the event loop. In Python a tuple of these, in this order. */
struct AudioTurn {
    int stream;
    std::string heard;   // from the caller, a multiple of 160 bytes
    long long played;    // of all bytes written, those that have left or were cleared
};

/** What went wrong with audio since the start. In Python a tuple of these, in this order. */
struct AudioCounts {
    long long underruns;  // a queue that ran dry in the middle of speech
    long long overruns;   // writes that were dropped in part or whole, and 20 ms of a caller that nobody took in time
    long long late;       // turns of the clock, and 20 ms frames of callers, that were over 20 ms late
    long long stray;      // RTP packets that came from elsewhere than the far end (origin.hpp)
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

/** The place of a stream in the conference. */
class AudioPort : public pj::AudioMedia {
public:
    explicit AudioPort(int stream) PJSUA2_THROW(pj::Error);
    virtual ~AudioPort();
};

}  // namespace sipbridge

#endif
