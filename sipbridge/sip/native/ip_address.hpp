/*
 * IP addresses and networks. An IPv4 address is mapped to IPv6 (RFC 4291, 2.5.5.2), so that both forms of it are equal.
 */
#ifndef SIPBRIDGE_IP_ADDRESS_HPP
#define SIPBRIDGE_IP_ADDRESS_HPP

#include <cstdint>
#include <optional>
#include <string>

namespace sipbridge {

struct IpAddress {
    uint8_t bytes[16];

    /** @param four  the bytes of an IPv4 address, in network order. */
    static IpAddress v4(const void *four);
    /** @param sixteen  the bytes of an IPv6 address, in network order. */
    static IpAddress v6(const void *sixteen);
    /** Read an address without brackets; none if the text is not one. */
    static std::optional<IpAddress> read(const std::string &text);

    bool operator==(const IpAddress &other) const;
};

struct IpNetwork {
    IpAddress address;
    unsigned bits;  // of the mapped address

    /** Read an address or a network such as `192.0.2.0/24`; none if the text is neither. */
    static std::optional<IpNetwork> read(const std::string &text);

    bool contains(const IpAddress &other) const;
};

/** The address and port that a packet comes from or goes to. */
struct IpEndpoint {
    IpAddress address;
    uint16_t port;

    bool operator==(const IpEndpoint &other) const { return port == other.port && address == other.address; }
};

}  // namespace sipbridge

#endif
