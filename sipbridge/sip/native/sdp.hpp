/*
 * Offers and answers (RFC 3264) between a far end, which may describe anything, and PJSIP, which serves one audio line.
 * Text in, text out: no PJSIP, no network.
 *
 * PJMEDIA keeps a description in arrays of fixed size, several copies per call, and overlooks what lies beyond them. So
 * it is given one audio line, with what it uses of that; the other lines are kept here, as text, and rejected.
 */
#ifndef SIPBRIDGE_SDP_HPP
#define SIPBRIDGE_SDP_HPP

#include "sdes.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace sipbridge {

class SdpText;

/** The use of SRTP, with PJMEDIA's numbers. */
enum SrtpUse {
    SrtpDisabled = 0,
    SrtpOptional = 1,
    SrtpMandatory = 2
};

/** Offers and answers of one dialog (RFC 3264). */
class OfferAnswer {
public:
    /** `codecs` are the names that can be served, as in rtpmap, with a blank between. */
    OfferAnswer(int srtp, const std::string &codecs) : srtp_(srtp), codecs_(codecs) {}

    /**
     * Read an offer of the far end's; returns the part that PJSIP is to be given. `number` is its CSeq: the lines of the
     * session are the offer's once it is answered.
     *
     * Served is the audio line with the best security, then over IPv4, then where our audio already stands. If there is
     * none, PJSIP gets one that it rejects. Audio that the far end sets to port 0 is on hold: the call goes on.
     */
    std::string readOffer(const std::string &sdp, int number);
    /** Read an answer to our last offer. One that cannot be served is read as a rejected line. */
    std::string readAnswer(const std::string &sdp);
    /** Write an offer of PJSIP's: it has the lines of the session, in their order (RFC 3264, 8). */
    std::string writeOffer(const std::string &sdp) { return write(sdp); }
    /** Write PJSIP's answer to the offer of that number: it has that offer's lines, in their order (RFC 3264, 6). */
    std::string writeAnswer(const std::string &sdp, int number);

private:
    /** Audio as PJSIP is given it. */
    struct Stream {
        std::string connection;  // with its line end; empty if the description has none
        std::string media;       // the m= line and its attributes, but for the direction
    };
    struct Lines {
        std::string before, after;  // those that are rejected, on both sides of our audio
        size_t index = 0;           // where our audio stands
        Stream audio;
        bool off = false;  // the far end has set its port to 0
    };

    static Lines around(const SdpText &text, size_t index);
    bool turnsOff(const SdpText &text) const;
    std::string write(const std::string &sdp);
    std::string withOwnVersion(const std::string &sdp);

    int srtp_;
    std::string codecs_;
    Lines agreed_, offered_;
    int offerNumber_ = -1;
    std::vector<Crypto> ours_;  // keys in what we wrote last
    // Of what we wrote last: its version, and a hash of all the rest.
    uint64_t version_ = 0;
    size_t written_ = 0;
};

}  // namespace sipbridge

#endif
