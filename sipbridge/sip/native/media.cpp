#include "dtmf.hpp"
#include "media.hpp"
#include "native.hpp"
#include "origin.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>

#include <pthread.h>
#include <samplerate.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define THIS_FILE "media.cpp"

namespace sipbridge {

// What PJSUA2_RAISE_ERROR expects in scope.
using pj::Error;
using std::string;

namespace {

const size_t FRAME_SAMPLES = 160;
const long FRAME_NANOSECONDS = 20 * 1000 * 1000;
// What reading packets may take of a turn: a flood of them must not stop the audio of all calls.
const long MOST_READING_NANOSECONDS = FRAME_NANOSECONDS / 2;
// Further behind than this the clock starts anew: what it missed is gone, and a burst of RTP helps nobody.
const long MOST_BEHIND_NANOSECONDS = 10 * FRAME_NANOSECONDS;

std::atomic<long long> underruns{0}, overruns{0}, late{0};

}  // namespace

// ---------------------------------------------------------------- audio streams

namespace {

// A mu-law magnitude (the inverted low seven bits) that can be heard: -42 dB of full scale and more.
const uint8_t AUDIBLE = 0x18;
const uint8_t SILENCE = 0xff;
// What the event loop may leave lying before the oldest is dropped: a second.
const size_t MOST_HEARD = 50 * FRAME_SAMPLES;
// A queue that is empty for longer than this was not late: the agent had said what it wanted to.
const int UNDERRUN_TURNS = 5;
// Frames that an agent in real time may have in hand; a second of more, by no more than that up and down, is a delay.
const size_t IN_HAND = 3;
const int STANDING_TURNS = 50;

/** One agent's audio: a queue to the caller, and what the caller said, not taken yet. */
class Stream {
public:
    explicit Stream(size_t limit) : limit_(limit) {}

    long long write(const uint8_t *bytes, size_t count) {
        std::lock_guard<std::mutex> lock(mutex_);
        if (count > limit_ - size_) {
            count = limit_ - size_;
            ++overruns;
        }
        if (count && dryTurns_ > 0 && dryTurns_ <= UNDERRUN_TURNS)
            ++underruns;
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

    long long clear() {
        std::lock_guard<std::mutex> lock(mutex_);
        head_ = size_ = 0;
        flowing_ = waited_ = false;
        dryTurns_ = 0;
        return written_;
    }

    long long unheard() {
        std::lock_guard<std::mutex> lock(mutex_);
        return std::max(0LL, audible_ - (written_ - static_cast<long long>(size_)));
    }

    /** On the clock: the next 20 ms for the caller; false where there is nothing to play. */
    bool read(int16_t *samples) {
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
        // An agent that speaks in real time is a little early or late with each frame: one of them is kept in hand.
        if (!flowing_ && !waited_ && size_ < 2 * FRAME_SAMPLES) {
            waited_ = true;
            return false;
        }
        flowing_ = true;
        noteDepth();
        if (standing_ && size_ > IN_HAND * FRAME_SAMPLES && nextIsSilent())
            skipFrame();
        const size_t count = std::min(size_, FRAME_SAMPLES);
        for (size_t i = 0; i < count; ++i) {
            samples[i] = static_cast<int16_t>(pjmedia_ulaw2linear(ring_[head_]));
            head_ = head_ + 1 == ring_.size() ? 0 : head_ + 1;
        }
        std::fill(samples + count, samples + FRAME_SAMPLES, 0);
        size_ -= count;
        return true;
    }

    /** On the clock: 20 ms that the caller said, or nothing. */
    void hear(const int16_t *samples) {
        std::lock_guard<std::mutex> lock(mutex_);
        if (heard_.size() >= MOST_HEARD) {
            heard_.erase(0, FRAME_SAMPLES);
            ++overruns;
        }
        if (!samples) {
            heard_.append(FRAME_SAMPLES, static_cast<char>(SILENCE));
            return;
        }
        char frame[FRAME_SAMPLES];
        for (size_t i = 0; i < FRAME_SAMPLES; ++i)
            frame[i] = static_cast<char>(pjmedia_linear2ulaw(samples[i]));
        heard_.append(frame, FRAME_SAMPLES);
    }

    bool take(AudioTurn *turn) {
        std::lock_guard<std::mutex> lock(mutex_);
        if (heard_.empty())
            return false;
        late += static_cast<long long>(heard_.size() / FRAME_SAMPLES) - 1;
        turn->heard.swap(heard_);
        turn->played = written_ - static_cast<long long>(size_);
        return true;
    }

private:
    /**
     * An agent that speaks in real time, stalls and catches up leaves a queue that stands from then on, and delays all
     * it says. Such a queue neither grows nor shrinks; that of an agent that speaks ahead of time does.
     */
    void noteDepth() {
        const size_t frames = size_ / FRAME_SAMPLES;
        low_ = std::min(low_, frames);
        high_ = std::max(high_, frames);
        if (++depthTurns_ < STANDING_TURNS)
            return;
        standing_ = low_ > IN_HAND && high_ - low_ <= IN_HAND;
        low_ = high_ = frames;
        depthTurns_ = 0;
    }

    bool nextIsSilent() const {
        for (size_t i = 0; i < FRAME_SAMPLES; ++i)
            if ((~ring_[(head_ + i) % ring_.size()] & 0x7f) >= AUDIBLE)
                return false;
        return true;
    }

    /** Nobody misses 20 ms of silence. */
    void skipFrame() {
        head_ = (head_ + FRAME_SAMPLES) % ring_.size();
        size_ -= FRAME_SAMPLES;
    }

    void reserve(size_t wanted) {
        if (wanted <= ring_.size())
            return;
        std::vector<uint8_t> larger(std::max<size_t>({wanted, 2 * ring_.size(), 8 * FRAME_SAMPLES}));
        for (size_t i = 0; i < size_; ++i)
            larger[i] = ring_[(head_ + i) % ring_.size()];
        ring_.swap(larger);
        head_ = 0;
    }

    std::mutex mutex_;
    const size_t limit_;
    std::vector<uint8_t> ring_ = std::vector<uint8_t>(8 * FRAME_SAMPLES);
    size_t head_ = 0, size_ = 0;
    long long written_ = 0, audible_ = 0;
    bool flowing_ = false, waited_ = false;
    int dryTurns_ = 0;  // since the queue ran dry
    size_t low_ = 0, high_ = 0;
    int depthTurns_ = 0;
    bool standing_ = false;
    std::string heard_;
};

std::mutex streamsMutex;
std::map<int, std::shared_ptr<Stream>> streams;
int lastStream = 0;
int turnDescriptor = -1;

std::shared_ptr<Stream> streamOf(int number) {
    std::lock_guard<std::mutex> lock(streamsMutex);
    const auto found = streams.find(number);
    return found == streams.end() ? nullptr : found->second;
}

void tellTurn() {
    {
        std::lock_guard<std::mutex> lock(streamsMutex);
        if (streams.empty())
            return;
    }
    const uint64_t one = 1;
    // A counter that is full was not read for ages: it is readable, which is all it is for.
    if (::write(turnDescriptor, &one, sizeof(one)) < 0)
        return;
}

}  // namespace

int audioDescriptor() {
    if (turnDescriptor < 0)
        turnDescriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return turnDescriptor;
}

std::vector<AudioTurn> takeAudio() {
    uint64_t turns;
    if (::read(turnDescriptor, &turns, sizeof(turns)) < 0)
        turns = 0;
    std::vector<std::pair<int, std::shared_ptr<Stream>>> open;
    {
        // Not held for the whole pass: the clock needs it too.
        std::lock_guard<std::mutex> lock(streamsMutex);
        open.assign(streams.begin(), streams.end());
    }
    std::vector<AudioTurn> taken;
    taken.reserve(open.size());
    for (const auto &each : open) {
        AudioTurn turn{each.first, "", 0};
        if (each.second->take(&turn))
            taken.push_back(std::move(turn));
    }
    return taken;
}

AudioCounts audioCounts() { return AudioCounts{underruns, overruns, late, strayPackets()}; }

int audioOpen(int maxBytes) {
    std::lock_guard<std::mutex> lock(streamsMutex);
    streams[++lastStream] = std::make_shared<Stream>(static_cast<size_t>(maxBytes));
    return lastStream;
}

long long audioWrite(int number, const std::string &audio) {
    const auto stream = streamOf(number);
    return stream ? stream->write(reinterpret_cast<const uint8_t *>(audio.data()), audio.size()) : 0;
}

long long audioClear(int number) {
    const auto stream = streamOf(number);
    return stream ? stream->clear() : 0;
}

long long audioUnheard(int number) {
    const auto stream = streamOf(number);
    return stream ? stream->unheard() : 0;
}

void audioClose(int number) {
    std::lock_guard<std::mutex> lock(streamsMutex);
    streams.erase(number);
}

// ---------------------------------------------------------------- ports of our own in the conference

namespace {

/** What a port of ours is made of. Owned by its pool, which the conference releases last. */
template <typename Source> struct OwnPort {
    pjmedia_port base;
    pj_pool_t *pool;
    Source source;

    static OwnPort *of(pjmedia_port *port) { return reinterpret_cast<OwnPort *>(port); }

    static pj_status_t destroy(pjmedia_port *port) {
        OwnPort *own = of(port);
        pj_pool_t *pool = own->pool;
        own->source.~Source();
        pj_pool_release(pool);
        return PJ_SUCCESS;
    }

    /** Make one with no callbacks for frames yet. */
    static OwnPort *make(const char *text, Source &&source) {
        pj_pool_t *pool = pjsua_pool_create(text, 1024, 512);
        if (!pool)
            PJSUA2_RAISE_ERROR(PJ_ENOMEM);
        OwnPort *own = PJ_POOL_ZALLOC_T(pool, OwnPort);
        new (&own->source) Source(std::move(source));
        own->pool = pool;
        pj_str_t name = pj_str(const_cast<char *>(text));
        pjmedia_port_info_init(&own->base.info, &name, PJMEDIA_SIG_CLASS_APP('S', 'I', 'B'), 8000, 1, 16,
                               FRAME_SAMPLES);
        own->base.on_destroy = &destroy;
        const pj_status_t status = pjmedia_port_init_grp_lock(&own->base, pool, NULL);
        if (status != PJ_SUCCESS) {
            destroy(&own->base);
            PJSUA2_RAISE_ERROR(status);
        }
        return own;
    }
};

void playSilence(pjmedia_frame *frame) {
    frame->type = PJMEDIA_FRAME_TYPE_NONE;
    frame->size = 0;
}

void playSamples(pjmedia_frame *frame) {
    frame->type = PJMEDIA_FRAME_TYPE_AUDIO;
    frame->size = 2 * FRAME_SAMPLES;
}

struct Playing {
    std::shared_ptr<const std::vector<int16_t>> samples;
    int token;
    size_t position = 0;
    bool done = false;
};

typedef OwnPort<Playing> ClipPort;
typedef OwnPort<std::shared_ptr<Stream>> StreamPort;

pj_status_t clipGetFrame(pjmedia_port *port, pjmedia_frame *frame) {
    Playing &clip = ClipPort::of(port)->source;
    const size_t left = clip.samples->size() - clip.position;
    if (!left) {
        playSilence(frame);
        // One frame later than the last sample: by now it is in an RTP packet.
        if (!clip.done) {
            clip.done = true;
            push(EventClipDone, -1, clip.token);
            wakeSipThread();
        }
        return PJ_SUCCESS;
    }
    const size_t count = std::min(left, FRAME_SAMPLES);
    int16_t *out = static_cast<int16_t *>(frame->buf);
    std::copy_n(clip.samples->data() + clip.position, count, out);
    std::fill(out + count, out + FRAME_SAMPLES, 0);
    clip.position += count;
    playSamples(frame);
    return PJ_SUCCESS;
}

pj_status_t streamGetFrame(pjmedia_port *port, pjmedia_frame *frame) {
    if (StreamPort::of(port)->source->read(static_cast<int16_t *>(frame->buf)))
        playSamples(frame);
    else
        playSilence(frame);
    return PJ_SUCCESS;
}

pj_status_t streamPutFrame(pjmedia_port *port, pjmedia_frame *frame) {
    const bool audio = frame->type == PJMEDIA_FRAME_TYPE_AUDIO && frame->size >= 2 * FRAME_SAMPLES;
    StreamPort::of(port)->source->hear(audio ? static_cast<const int16_t *>(frame->buf) : nullptr);
    return PJ_SUCCESS;
}

}  // namespace

ClipPlayer::ClipPlayer(const Clip &source, int token) {
    ClipPort *port = ClipPort::make("clip%p", Playing{source.samples(), token});
    port->base.get_frame = &clipGetFrame;
    try {
        registerMediaPort2(&port->base, port->pool);
    } catch (...) {
        pjmedia_port_destroy(&port->base);
        throw;
    }
    // The conference holds its own reference from here on.
    pjmedia_port_dec_ref(&port->base);
}

ClipPlayer::~ClipPlayer() {
    try {
        unregisterMediaPort();
    } catch (...) {
        // The endpoint is gone, and the conference with it.
    }
}

AudioPort::AudioPort(int number) {
    std::shared_ptr<Stream> stream = streamOf(number);
    if (!stream)
        PJSUA2_RAISE_ERROR(PJ_EGONE);
    StreamPort *port = StreamPort::make("stream%p", std::move(stream));
    port->base.get_frame = &streamGetFrame;
    port->base.put_frame = &streamPutFrame;
    try {
        registerMediaPort2(&port->base, port->pool);
    } catch (...) {
        pjmedia_port_destroy(&port->base);
        throw;
    }
    pjmedia_port_dec_ref(&port->base);
}

AudioPort::~AudioPort() {
    try {
        unregisterMediaPort();
    } catch (...) {
        // As above.
    }
}

// ---------------------------------------------------------------- the clock

namespace {

pj_thread_t *clockThread = nullptr;
std::atomic<bool> clockRunning{false};
pjmedia_port *conference = nullptr;

long long nowNanoseconds() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/**
 * Read the RTP that has come. The jitter buffers need it once a turn and not before, and a thread that wakes for each
 * packet costs a call with audio a fifth to a third more.
 */
void readPackets() {
    pj_ioqueue_t *queue = pjmedia_endpt_get_ioqueue(pjsua_get_pjmedia_endpt());
    const pj_time_val now = {0, 0};
    const long long began = nowNanoseconds();
    while (pj_ioqueue_poll(queue, &now) > 0 && nowNanoseconds() - began < MOST_READING_NANOSECONDS)
        ;
}

/** Run before threads that have no clock to keep, where the system lets us; 38 ms of waiting for one were seen. */
void goFirst() {
    sched_param priority;
    pj_bzero(&priority, sizeof(priority));
    priority.sched_priority = sched_get_priority_min(SCHED_RR);
    pthread_setschedparam(pthread_self(), SCHED_RR, &priority);
}

int runClock(void *) {
    goFirst();
    int16_t samples[FRAME_SAMPLES];
    long long due = nowNanoseconds();
    pj_timestamp timestamp;
    timestamp.u64 = 0;
    while (clockRunning) {
        due += FRAME_NANOSECONDS;
        const long long behind = nowNanoseconds() - due;
        if (behind > FRAME_NANOSECONDS)
            ++late;
        if (behind > MOST_BEHIND_NANOSECONDS)
            due += behind;
        const timespec until = {static_cast<time_t>(due / 1000000000LL), static_cast<long>(due % 1000000000LL)};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
            ;
        readPackets();
        reportLostEnds();
        pjmedia_frame frame;
        pj_bzero(&frame, sizeof(frame));
        frame.buf = samples;
        frame.size = sizeof(samples);
        frame.timestamp = timestamp;
        pjmedia_port_get_frame(conference, &frame);
        timestamp.u64 += FRAME_SAMPLES;
        tellTurn();
    }
    return 0;
}

}  // namespace

void startMediaClock() {
    audioDescriptor();
    // PJMEDIA insists on a thread of its own for its sockets; ours takes its place.
    PJSUA2_CHECK_EXPR(pjmedia_endpt_stop_threads(pjsua_get_pjmedia_endpt()));
    conference = pjsua_set_no_snd_dev();
    clockRunning = true;
    const pj_status_t status =
        pj_thread_create(pjsua_get_var()->pool, "media clock", &runClock, NULL, 0, 0, &clockThread);
    if (status != PJ_SUCCESS) {
        clockRunning = false;
        PJSUA2_RAISE_ERROR(status);
    }
}

void stopMediaClock() {
    if (!clockRunning.exchange(false))
        return;
    pj_thread_join(clockThread);
    pj_thread_destroy(clockThread);
}

// ---------------------------------------------------------------- slots and samples

void connectSlots(int source, int sink) { PJSUA2_CHECK_EXPR(pjsua_conf_connect(source, sink)); }

void disconnectSlots(int source, int sink) { pjsua_conf_disconnect(source, sink); }

int slotLevel(int slot) {
    unsigned to = 0, from = 0;
    return pjsua_conf_get_signal_level(slot, &to, &from) == PJ_SUCCESS ? static_cast<int>(from) : 0;
}

std::string resample(const std::string &pcm, int fromRate, int toRate) {
    const int16_t *samples = reinterpret_cast<const int16_t *>(pcm.data());
    const long count = static_cast<long>(pcm.size() / 2);
    const double ratio = static_cast<double>(toRate) / fromRate;
    std::vector<float> in(static_cast<size_t>(count)), out(static_cast<size_t>(count * ratio) + 64);
    src_short_to_float_array(samples, in.data(), static_cast<int>(count));
    SRC_DATA data;
    pj_bzero(&data, sizeof(data));
    data.data_in = in.data();
    data.input_frames = count;
    data.data_out = out.data();
    data.output_frames = static_cast<long>(out.size());
    data.src_ratio = ratio;
    if (src_simple(&data, SRC_SINC_MEDIUM_QUALITY, 1) != 0)
        PJSUA2_RAISE_ERROR(PJ_EINVAL);
    std::string result(static_cast<size_t>(data.output_frames_gen) * 2, '\0');
    src_float_to_short_array(out.data(), reinterpret_cast<short *>(&result[0]), static_cast<int>(data.output_frames_gen));
    return result;
}

}  // namespace sipbridge
