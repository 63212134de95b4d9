#include "rtp_origin.hpp"

#include <doctest/doctest.h>

using namespace sipbridge;

namespace {

IpEndpoint endpoint(const char *address, uint16_t port) { return IpEndpoint{IpAddress::read(address).value(), port}; }

const IpEndpoint DESCRIBED = endpoint("192.0.2.1", 4000), NAT = endpoint("198.51.100.7", 61000),
                 STRANGER = endpoint("203.0.113.9", 4000);

/** A stream as origin.cpp keeps it. */
struct Stream {
    RtpPeer peer{DESCRIBED, DESCRIBED, false};

    RtpOrigin receive(const IpEndpoint &source) {
        const RtpOrigin origin = rtpOrigin(source, peer);
        if (origin == RtpOrigin::NewFarEnd)
            peer.current = source;
        peer.hasSent = peer.hasSent || origin != RtpOrigin::Stray;
        return origin;
    }
};

}  // namespace

TEST_CASE("packets from the address in the SDP are the far end's") {
    Stream stream;
    CHECK(stream.receive(DESCRIBED) == RtpOrigin::FarEnd);
    CHECK(stream.receive(DESCRIBED) == RtpOrigin::FarEnd);
}

TEST_CASE("once the far end has sent from the address in its SDP, packets from another are stray") {
    Stream stream;
    stream.receive(DESCRIBED);
    CHECK(stream.receive(STRANGER) == RtpOrigin::Stray);
    CHECK(stream.receive(endpoint("192.0.2.1", 4002)) == RtpOrigin::Stray);
    CHECK(stream.receive(DESCRIBED) == RtpOrigin::FarEnd);
}

TEST_CASE("a far end behind NAT is known by the first address that sends") {
    Stream stream;
    CHECK(stream.receive(NAT) == RtpOrigin::NewFarEnd);
    CHECK(stream.receive(NAT) == RtpOrigin::FarEnd);
    CHECK(stream.receive(STRANGER) == RtpOrigin::Stray);
    CHECK(stream.receive(NAT) == RtpOrigin::FarEnd);
}

TEST_CASE("the address in the SDP replaces one that sent before it") {
    Stream stream;
    stream.receive(STRANGER);
    CHECK(stream.receive(DESCRIBED) == RtpOrigin::NewFarEnd);
    CHECK(stream.receive(DESCRIBED) == RtpOrigin::FarEnd);
    CHECK(stream.receive(STRANGER) == RtpOrigin::Stray);
}
