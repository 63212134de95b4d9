/*
 * The decision which RTP packets are the far end's. Without SRTP, only its address identifies the sender of a packet.
 */
#ifndef SIPBRIDGE_RTP_ORIGIN_HPP
#define SIPBRIDGE_RTP_ORIGIN_HPP

#include "ip_address.hpp"

namespace sipbridge {

enum class RtpOrigin {
    FarEnd,     // the packet is from the address of the far end
    NewFarEnd,  // its source is the address of the far end from now on
    Stray,      // the packet is not the far end's
};

/** The addresses of a stream's far end. */
struct RtpPeer {
    IpEndpoint described;  // in its SDP
    IpEndpoint current;    // where our RTP goes
    bool hasSent;          // a packet of the far end has come
};

/**
 * Decide about a packet. Packets from the address in the SDP are always the far end's. Before the first one, the first
 * other address that sends is taken for the far end's, since a far end behind NAT does not know its public address; a
 * third address never is. Asterisk's `strictrtp` and most session border controllers do the same (latching, RFC 7362,
 * 4).
 */
RtpOrigin rtpOrigin(const IpEndpoint &source, const RtpPeer &peer);

}  // namespace sipbridge

#endif
