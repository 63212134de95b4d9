#include "media_ports.hpp"
#include "audio_streams.hpp"
#include "events.hpp"
#include "media_clock.hpp"
#include "waker.hpp"

#include <algorithm>

#define THIS_FILE "media_ports.cpp"

namespace sipbridge {

// PJSUA2_RAISE_ERROR needs these names in scope.
using pj::Error;
using std::string;

namespace {

const size_t FRAME_SAMPLES = FRAME_BYTES;  // a byte of mu-law is a sample

/** The memory of a port: PJMEDIA's part and ours. It belongs to its pool, which the conference releases last. */
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

    /** Make a port without callbacks for frames. */
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
    bool looped;
    int token;
    size_t position = 0;
    bool done = false;
};

typedef OwnPort<Playing> ClipPort;

pj_status_t clipGetFrame(pjmedia_port *port, pjmedia_frame *frame) {
    Playing &clip = ClipPort::of(port)->source;
    const size_t left = clip.samples->size() - clip.position;
    if (!left) {
        playSilence(frame);
        // This is one frame after the last sample, so that has been sent in an RTP packet.
        if (!clip.done) {
            clip.done = true;
            push(EventClipDone, -1, clip.token);
            wakeSipThread();
        }
        return PJ_SUCCESS;
    }
    int16_t *out = static_cast<int16_t *>(frame->buf);
    int16_t *const end = out + FRAME_SAMPLES;
    do {
        const size_t count = std::min(clip.samples->size() - clip.position, static_cast<size_t>(end - out));
        out = std::copy_n(clip.samples->data() + clip.position, count, out);
        clip.position += count;
        if (clip.looped && clip.position == clip.samples->size())
            clip.position = 0;
    } while (clip.looped && out != end);
    std::fill(out, end, 0);
    playSamples(frame);
    return PJ_SUCCESS;
}

/** An audio stream, for a call whose audio cannot go past the conference (direct_audio.hpp). */
struct Stream {
    int number;
    std::shared_ptr<AudioQueue> queue;
};

typedef OwnPort<Stream> StreamPort;

pj_status_t streamGetFrame(pjmedia_port *port, pjmedia_frame *frame) {
    uint8_t bytes[FRAME_SAMPLES];
    Pace pace;
    if (StreamPort::of(port)->source.queue->next(turnTime(), bytes, FRAME_SAMPLES, &pace) != Turn::Speech) {
        playSilence(frame);
        return PJ_SUCCESS;
    }
    int16_t *samples = static_cast<int16_t *>(frame->buf);
    for (size_t i = 0; i < FRAME_SAMPLES; ++i)
        samples[i] = static_cast<int16_t>(pjmedia_ulaw2linear(bytes[i]));
    playSamples(frame);
    return PJ_SUCCESS;
}

pj_status_t streamPutFrame(pjmedia_port *port, pjmedia_frame *frame) {
    std::string bytes(FRAME_SAMPLES, static_cast<char>(SILENCE));
    if (frame->type == PJMEDIA_FRAME_TYPE_AUDIO && frame->size >= 2 * FRAME_SAMPLES) {
        const int16_t *samples = static_cast<const int16_t *>(frame->buf);
        for (size_t i = 0; i < FRAME_SAMPLES; ++i)
            bytes[i] = static_cast<char>(pjmedia_linear2ulaw(samples[i]));
    }
    const Stream &stream = StreamPort::of(port)->source;
    hearAudio(stream.number, *stream.queue, bytes);
    return PJ_SUCCESS;
}

}  // namespace

void ConferencePort::add(pjmedia_port *port, pj_pool_t *pool) {
    try {
        registerMediaPort2(port, pool);
    } catch (...) {
        pjmedia_port_destroy(port);
        throw;
    }
    // From here on the conference has its own reference.
    pjmedia_port_dec_ref(port);
}

ConferencePort::~ConferencePort() {
    try {
        unregisterMediaPort();
    } catch (...) {
        // The endpoint has been destroyed, and the conference with it.
    }
}

ClipPlayer::ClipPlayer(const Clip &source, int token) {
    ClipPort *port = ClipPort::make("clip%p", Playing{source.samples(), source.looped, token});
    port->base.get_frame = &clipGetFrame;
    add(&port->base, port->pool);
}

AudioPort::AudioPort(int number) {
    std::shared_ptr<AudioQueue> stream = audioQueue(number);
    if (!stream)
        PJSUA2_RAISE_ERROR(PJ_EGONE);
    StreamPort *port = StreamPort::make("stream%p", Stream{number, std::move(stream)});
    port->base.get_frame = &streamGetFrame;
    port->base.put_frame = &streamPutFrame;
    add(&port->base, port->pool);
}

}  // namespace sipbridge
