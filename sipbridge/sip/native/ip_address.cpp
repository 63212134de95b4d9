#include "ip_address.hpp"

#include <arpa/inet.h>

#include <cstring>

namespace sipbridge {

namespace {

const unsigned BITS = 128;
const unsigned MAPPED_BITS = 96;  // before an IPv4 address

bool isV4(const std::string &text) { return text.find(':') == std::string::npos; }

}  // namespace

IpAddress IpAddress::v4(const void *four) {
    IpAddress address = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}};
    std::memcpy(address.bytes + MAPPED_BITS / 8, four, 4);
    return address;
}

IpAddress IpAddress::v6(const void *sixteen) {
    IpAddress address;
    std::memcpy(address.bytes, sixteen, sizeof(address.bytes));
    return address;
}

std::optional<IpAddress> IpAddress::read(const std::string &text) {
    uint8_t bytes[16];
    if (inet_pton(isV4(text) ? AF_INET : AF_INET6, text.c_str(), bytes) != 1)
        return std::nullopt;
    return isV4(text) ? v4(bytes) : v6(bytes);
}

bool IpAddress::operator==(const IpAddress &other) const { return std::memcmp(bytes, other.bytes, sizeof(bytes)) == 0; }

std::optional<IpNetwork> IpNetwork::read(const std::string &text) {
    const size_t slash = text.find('/');
    const std::optional<IpAddress> address = IpAddress::read(text.substr(0, slash));
    if (!address)
        return std::nullopt;
    if (slash == std::string::npos)
        return IpNetwork{*address, BITS};
    const std::string length = text.substr(slash + 1);
    if (length.empty() || length.size() > 3 || length.find_first_not_of("0123456789") != std::string::npos)
        return std::nullopt;
    const unsigned bits = static_cast<unsigned>(std::stoi(length)) + (isV4(text) ? MAPPED_BITS : 0);
    if (bits > BITS)
        return std::nullopt;
    return IpNetwork{*address, bits};
}

bool IpNetwork::contains(const IpAddress &other) const {
    const unsigned whole = bits / 8, rest = bits % 8;
    if (std::memcmp(address.bytes, other.bytes, whole) != 0)
        return false;
    return rest == 0 || (address.bytes[whole] ^ other.bytes[whole]) >> (8 - rest) == 0;
}

}  // namespace sipbridge
