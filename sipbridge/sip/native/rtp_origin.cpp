#include "rtp_origin.hpp"

namespace sipbridge {

RtpOrigin rtpOrigin(const IpEndpoint &source, const RtpPeer &peer) {
    if (source == peer.current)
        return RtpOrigin::FarEnd;
    return source == peer.described || !peer.hasSent ? RtpOrigin::NewFarEnd : RtpOrigin::Stray;
}

}  // namespace sipbridge
