/*
 * SRTP keys in SDP (SDES, RFC 4568): the `a=crypto` lines that PJMEDIA serves exactly as they are meant. Text only.
 */
#ifndef SIPBRIDGE_SDES_HPP
#define SIPBRIDGE_SDES_HPP

#include <string>
#include <string_view>
#include <vector>

namespace sipbridge {

/** A line that can be served: it has one key, and no parameter that changes the packets. */
struct Crypto {
    std::string tag;
    std::string suite;  // as RFC 4568 spells it
    std::string key;    // key and salt, base64 with its padding

    bool isFor(const Crypto &other) const { return tag == other.tag && suite == other.suite; }
    std::string line() const { return "a=crypto:" + tag + " " + suite + " inline:" + key + "\r\n"; }
};

/**
 * The crypto attributes (their values) of an m= line that can be served, in their order. These cannot:
 * - a suite other than AES_CM_128_HMAC_SHA1_80 and AES_256_CM_HMAC_SHA1_80
 * - a key that is not base64 of the suite's length, an MKI, and several keys, which need MKIs
 * - a lifetime that a call may exceed, since PJMEDIA never changes a key
 * - session parameters other than WSH, which is a hint, and those that may be ignored (`-NAME`, RFC 4568, 6.3.7)
 * - a tag that another line has too, since an answer could not say which of them it means
 */
std::vector<Crypto> servable(const std::vector<std::string_view> &attributes);

}  // namespace sipbridge

#endif
