/*
 * Clips, and the ports of audio streams in the conference. Call these on the SIP thread.
 */
#ifndef SIPBRIDGE_MEDIA_PORTS_HPP
#define SIPBRIDGE_MEDIA_PORTS_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace sipbridge {

/** Sixteen-bit mono audio at 8 kHz, shared by all its players. A looped clip is played over and over. */
class Clip {
public:
    explicit Clip(const std::string &pcm, bool looped = false)
        : looped(looped),
          samples_(
              std::make_shared<std::vector<int16_t>>(reinterpret_cast<const int16_t *>(pcm.data()),
                                                     reinterpret_cast<const int16_t *>(pcm.data()) + pcm.size() / 2)) {}
    std::shared_ptr<const std::vector<int16_t>> samples() const { return samples_; }
    const bool looped;

private:
    std::shared_ptr<const std::vector<int16_t>> samples_;
};

/** A port of ours in the conference, which leaves it with this object. */
class ConferencePort : public pj::AudioMedia {
public:
    virtual ~ConferencePort();

protected:
    ConferencePort() {}
    /** Add a port to the conference, which frees it with its pool in the end. */
    void add(pjmedia_port *port, pj_pool_t *pool) PJSUA2_THROW(pj::Error);
};

/** A port that plays a clip into the conference: a looped one until the port leaves, another one once, then silence. */
class ClipPlayer : public ConferencePort {
public:
    /** @param token  the number of the EventClipDone that reports the last sample as played. */
    ClipPlayer(const Clip &clip, int token) PJSUA2_THROW(pj::Error);
};

/** The port of an audio stream in the conference. */
class AudioPort : public ConferencePort {
public:
    explicit AudioPort(int stream) PJSUA2_THROW(pj::Error);
};

}  // namespace sipbridge

#endif
