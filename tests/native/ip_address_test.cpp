#include "ip_address.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace sipbridge;
using std::string;

namespace {

bool contains(const string &network, const string &address) {
    return IpNetwork::read(network).value().contains(IpAddress::read(address).value());
}

}  // namespace

TEST_CASE("an IPv4 address equals its form that is mapped to IPv6") {
    CHECK(IpAddress::read("192.0.2.1").value() == IpAddress::read("::ffff:192.0.2.1").value());
    const uint8_t four[] = {192, 0, 2, 1};
    CHECK(IpAddress::read("192.0.2.1").value() == IpAddress::v4(four));
    CHECK_FALSE(IpAddress::read("192.0.2.1").value() == IpAddress::read("192.0.2.2").value());
    CHECK_FALSE(IpAddress::read("192.0.2.1").value() == IpAddress::read("::192.0.2.1").value());
}

TEST_CASE("an address without a length is a network of one") {
    CHECK(contains("192.0.2.1", "192.0.2.1"));
    CHECK_FALSE(contains("192.0.2.1", "192.0.2.0"));
    CHECK(contains("2001:db8::1", "2001:db8::1"));
    CHECK_FALSE(contains("2001:db8::1", "2001:db8::2"));
}

TEST_CASE("a network contains the addresses with its first bits") {
    CHECK(contains("192.0.2.0/24", "192.0.2.255"));
    CHECK_FALSE(contains("192.0.2.0/24", "192.0.3.0"));
    CHECK(contains("192.0.2.128/25", "192.0.2.200"));
    CHECK_FALSE(contains("192.0.2.128/25", "192.0.2.127"));
    CHECK(contains("10.0.0.0/8", "10.255.0.1"));
    CHECK_FALSE(contains("10.0.0.0/8", "11.0.0.1"));
    CHECK(contains("2001:db8::/33", "2001:db8:7fff::1"));
    CHECK_FALSE(contains("2001:db8::/33", "2001:db8:8000::1"));
}

TEST_CASE("a length of 0 contains all addresses of its family") {
    CHECK(contains("0.0.0.0/0", "203.0.113.9"));
    CHECK_FALSE(contains("0.0.0.0/0", "2001:db8::1"));
    CHECK(contains("::/0", "2001:db8::1"));
    CHECK(contains("::/0", "203.0.113.9"));
}

TEST_CASE("a text that is not an address or a network is refused") {
    for (const char *text : {"", "1", "sip.example.com", "192.0.2", "192.0.2.256", "192.0.2.1 ", "[::1]", "fe80::1%lo",
                             "192.0.2.0/", "192.0.2.0/33", "192.0.2.0/-1", "192.0.2.0/2x", "::/129", "::/1000", "/24"})
        CHECK_MESSAGE(!IpNetwork::read(text), text);
    CHECK_FALSE(IpAddress::read("192.0.2.0/24"));
}

TEST_CASE("two endpoints are equal if address and port are") {
    const IpAddress one = IpAddress::read("192.0.2.1").value(), other = IpAddress::read("192.0.2.2").value();
    CHECK(IpEndpoint{one, 4000} == IpEndpoint{one, 4000});
    CHECK_FALSE(IpEndpoint{one, 4000} == IpEndpoint{one, 4002});
    CHECK_FALSE(IpEndpoint{one, 4000} == IpEndpoint{other, 4000});
}

TEST_CASE("mutated networks are read or refused, and every one that is read contains its own address") {
    std::mt19937 random(4291);
    for (int round = 0; round < 20000; ++round) {
        string text = random() % 2 ? "192.0.2.0/24" : "2001:db8::1/64";
        for (unsigned changes = random() % 4; changes; --changes)
            text[random() % text.size()] = "0123456789abcdef.:/ "[random() % 20];
        if (const auto network = IpNetwork::read(text))
            REQUIRE(network->contains(network->address));
    }
}
