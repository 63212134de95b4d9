/*
 * The lines of a session description (RFC 8866, 5). All is views of the text that was read, and takes time in proportion
 * to its length.
 */
#ifndef SIPBRIDGE_SDP_TEXT_HPP
#define SIPBRIDGE_SDP_TEXT_HPP

#include <string>
#include <string_view>
#include <vector>

namespace sipbridge {

/** Lines without their ends. */
typedef std::vector<std::string_view> SdpLines;

/** An m= line, and those below it. */
struct SdpMedia {
    std::string_view line, kind, protocol;
    unsigned port = 0;
    SdpLines formats, lines;
};

/** A description: its lines before the first m= line, and the m= lines. */
class SdpText {
public:
    /** Valid while `sdp` is. */
    explicit SdpText(std::string_view sdp);

    /** False if it is not a valid description, by rules no looser than PJMEDIA's. */
    bool isValid() const { return valid_; }

    SdpLines session;
    std::vector<SdpMedia> media;
    // What the session says for those m= lines that don't say it themselves (RFC 8866, 5.7 and 6.7).
    std::string_view connection;
    std::string direction;

private:
    bool add(std::string_view line);

    bool valid_ = true;
};

/** The names of an m= line's formats. */
class SdpRtpmaps {
public:
    explicit SdpRtpmaps(const SdpLines &lines);

    /** The codec in capitals, "TELEPHONE-EVENT" too; empty if it is not one of one channel and 8000 Hz. */
    std::string nameOf(std::string_view format) const;
    /** The format's a=rtpmap line, empty if it has none. */
    std::string_view lineOf(std::string_view format) const;

private:
    std::string_view lines_[128];
};

/** The words between blanks. */
SdpLines words(std::string_view text);
/** A decimal number up to `most`, else -1. */
int number(std::string_view digits, int most);
/** True if two words are the same but for the case of ASCII letters. */
bool isSame(std::string_view one, std::string_view other);
/** The first line of that kind, or an empty one. */
std::string_view firstLine(const SdpLines &lines, char kind);
/** The first attribute of that name, as a line; empty if there is none, or a longer one than PJSIP needs. */
std::string_view attributeLine(const SdpLines &lines, const char *name);
/** The values of all attributes of that name. */
std::vector<std::string_view> attributeValues(const SdpLines &lines, const char *name);
/**
 * "sendrecv", "sendonly", "recvonly" or "inactive"; empty where the lines have none. Of several, which RFC 8866 forbids,
 * what all of them allow: one that holds the call wins.
 */
std::string directionOf(const SdpLines &lines);

}  // namespace sipbridge

#endif
