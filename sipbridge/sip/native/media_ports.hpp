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

/** Sixteen-bit mono audio at 8 kHz, shared by all who play it. */
class Clip {
public:
    explicit Clip(const std::string &pcm)
        : samples_(
              std::make_shared<std::vector<int16_t>>(reinterpret_cast<const int16_t *>(pcm.data()),
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

/** The place of a stream in the conference. */
class AudioPort : public pj::AudioMedia {
public:
    explicit AudioPort(int stream) PJSUA2_THROW(pj::Error);
    virtual ~AudioPort();
};

}  // namespace sipbridge

#endif
