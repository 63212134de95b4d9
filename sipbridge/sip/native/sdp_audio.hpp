/*
 * An audio line of a description, reduced to the parts that PJMEDIA uses. Text only.
 */
#ifndef SIPBRIDGE_SDP_AUDIO_HPP
#define SIPBRIDGE_SDP_AUDIO_HPP

#include "sdes.hpp"
#include "sdp_text.hpp"

#include <string>
#include <vector>

namespace sipbridge {

/** The parts of an audio line that PJMEDIA uses. */
struct SdpAudio {
    std::string formats;     // the served ones, each after a blank; empty if none is a codec
    std::string attributes;  // with line ends; without keys and direction
    std::string direction;   // empty if there is none
    std::string connection;  // the c= line with its line end; empty if there is none
    std::vector<Crypto> keys;  // those that can be served
    size_t keyLines = 0;  // the number of a=crypto lines, including those that cannot be served

    bool isIp4() const { return connection.compare(0, 9, "c=IN IP4 ") == 0; }
    bool isIp6() const { return connection.compare(0, 9, "c=IN IP6 ") == 0; }
};

/** @param codecs  the names of the codecs that are served, as in rtpmap, separated by blanks. */
SdpAudio readAudio(const SdpText &text, const SdpMedia &media, const std::string &codecs);

}  // namespace sipbridge

#endif
