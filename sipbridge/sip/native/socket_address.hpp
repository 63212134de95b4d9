/* PJLIB's socket addresses as IP addresses. */
#ifndef SIPBRIDGE_SOCKET_ADDRESS_HPP
#define SIPBRIDGE_SOCKET_ADDRESS_HPP

#include "ip_address.hpp"

#include <pj/sock.h>

namespace sipbridge {

/** The address of a socket address; zeros, which no sender has, for a family other than IPv4 and IPv6. */
inline IpAddress ipAddressOf(const pj_sockaddr_t *address) {
    const auto family = static_cast<const pj_sockaddr *>(address)->addr.sa_family;
    if (family == pj_AF_INET6())
        return IpAddress::v6(pj_sockaddr_get_addr(address));
    return family == pj_AF_INET() ? IpAddress::v4(pj_sockaddr_get_addr(address)) : IpAddress{};
}

/** The address and port of a socket address. */
inline IpEndpoint ipEndpointOf(const pj_sockaddr_t *address) {
    const IpAddress host = ipAddressOf(address);
    return IpEndpoint{host, static_cast<uint16_t>(host == IpAddress{} ? 0 : pj_sockaddr_get_port(address))};
}

}  // namespace sipbridge

#endif
