/*
 * Offers and answers (RFC 3264) between a far end, which may describe any media, and PJSIP, which serves one audio
 * line. Text in, text out: no PJSIP, no network.
 *
 * PJMEDIA keeps descriptions in arrays of fixed size, several copies per call, and ignores whatever does not fit. So it
 * gets one audio line, with the attributes that it uses. The other lines are kept here as text, and are rejected.
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
    /** @param codecs  the names of the codecs that are served, as in rtpmap, separated by blanks. */
    OfferAnswer(int srtp, const std::string &codecs) : srtp_(srtp), codecs_(codecs) {}

    /**
     * Read an offer of the far end; return the SDP for PJSIP. `number` is the CSeq of the offer. Its m= lines become
     * those of the session with our answer.
     *
     * Of several audio lines, the one with the best security is served, then one over IPv4, then the one that has the
     * audio already. If none can be served, PJSIP gets one that it rejects. If the far end sets the port of its audio
     * to 0, that is a hold, and the call goes on.
     */
    std::string readOffer(const std::string &sdp, int number);
    /**
     * Read an answer to our last offer; return the SDP for PJSIP. An answer that cannot be served becomes a rejection.
     */
    std::string readAnswer(const std::string &sdp);
    /** Return PJSIP's offer with the lines of the session, in their order (RFC 3264, 8). */
    std::string writeOffer(const std::string &sdp) { return write(sdp); }
    /** Return PJSIP's answer to the offer of that number with the lines of the offer, in their order (RFC 3264, 6). */
    std::string writeAnswer(const std::string &sdp, int number);

private:
    /** The audio in the SDP for PJSIP. */
    struct Stream {
        std::string connection;  // the c= line with its line end; empty if the description has none
        std::string media;       // the m= line and its attributes without the direction
    };
    /** The m= lines of an offer. */
    struct Lines {
        std::string before, after;  // the rejected lines before and after our audio
        size_t index = 0;           // the index of our audio
        Stream audio;
        bool off = false;  // the far end has set the port of our audio to 0
    };

    static Lines around(const SdpText &text, size_t index);
    bool turnsOff(const SdpText &text) const;
    std::string write(const std::string &sdp);
    std::string withOwnVersion(const std::string &sdp);

    int srtp_;
    std::string codecs_;
    Lines agreed_, offered_;
    int offerNumber_ = -1;
    std::vector<Crypto> ours_;  // the keys in our last description
    // The version of our last description, and a hash of the rest of it.
    uint64_t version_ = 0;
    size_t written_ = 0;
};

}  // namespace sipbridge

#endif
