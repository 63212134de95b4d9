/*
 * The lines of a session description (RFC 8866, 5), as views of the text. The time of reading is proportional to its
 * length.
 */
#ifndef SIPBRIDGE_SDP_TEXT_HPP
#define SIPBRIDGE_SDP_TEXT_HPP

#include <string>
#include <string_view>
#include <vector>

namespace sipbridge {

/** Lines without their line ends. */
typedef std::vector<std::string_view> SdpLines;

/** An m= line and the lines that belong to it. */
struct SdpMedia {
    std::string_view line, kind, protocol;
    unsigned port = 0;
    SdpLines formats, lines;
};

/** A session description: the lines before the first m= line, and the m= lines. */
class SdpText {
public:
    /** Read a description. The result is valid as long as the bytes of `sdp`. */
    explicit SdpText(std::string_view sdp);

    /** False if it is not a valid description, by rules no looser than PJMEDIA's. */
    bool isValid() const { return valid_; }

    SdpLines session;
    std::vector<SdpMedia> media;
    // The values for m= lines without their own (RFC 8866, 5.7 and 6.7).
    std::string_view connection;
    std::string direction;

private:
    bool add(std::string_view line);

    bool valid_ = true;
};

/** The rtpmap attributes of an m= line. */
class SdpRtpmaps {
public:
    explicit SdpRtpmaps(const SdpLines &lines);

    /**
     * The name of the format's codec in capitals, such as "TELEPHONE-EVENT"; empty unless it has one channel and 8000
     * Hz.
     */
    std::string nameOf(std::string_view format) const;
    /** The format's a=rtpmap line; empty if it has none. */
    std::string_view lineOf(std::string_view format) const;

private:
    std::string_view lines_[128];
};

/** The words between blanks. */
SdpLines words(std::string_view text);
/** A decimal number up to `most`, else -1. */
int number(std::string_view digits, int most);
/** The first line of that kind; empty if there is none. */
std::string_view firstLine(const SdpLines &lines, char kind);
/** The line of the first attribute of that name, longer ones than PJSIP needs left out; empty if there is none. */
std::string_view attributeLine(const SdpLines &lines, const char *name);
/** The values of all attributes of that name. */
std::vector<std::string_view> attributeValues(const SdpLines &lines, const char *name);
/**
 * "sendrecv", "sendonly", "recvonly" or "inactive"; empty if the lines have none. Several of them, which RFC 8866
 * forbids, count as the direction that all of them permit, so that a hold among them is a hold.
 */
std::string directionOf(const SdpLines &lines);

}  // namespace sipbridge

#endif
