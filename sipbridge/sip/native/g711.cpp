#include "g711.hpp"

#include <array>

namespace sipbridge {

namespace {

/** The magnitude of an A-law code as 16-bit linear PCM, without its sign. */
constexpr int linearFromAlaw(int code) {
    const int exponent = code >> 4;
    const int mantissa = ((code & 15) << 4) + 8;
    return exponent == 0 ? mantissa : (mantissa + 256) << (exponent - 1);
}

/** The magnitude of a mu-law code that is not inverted, without its sign. */
constexpr int linearFromMulaw(int code) { return ((((code & 15) << 3) + 132) << (code >> 4)) - 132; }

constexpr int distance(int one, int other) { return one < other ? other - one : one - other; }

constexpr int nearestMulaw(int magnitude) {
    int nearest = 0;
    for (int code = 1; code < 128; ++code)
        if (distance(linearFromMulaw(code), magnitude) < distance(linearFromMulaw(nearest), magnitude))
            nearest = code;
    return nearest;
}

constexpr std::array<uint8_t, 256> makeTable() {
    std::array<uint8_t, 256> table{};
    for (int byte = 0; byte < 256; ++byte) {
        // A-law inverts its even bits, and mu-law all but the sign. In both laws, a sign of 1 is plus.
        const int code = byte ^ 0x55;
        const int magnitude = nearestMulaw(linearFromAlaw(code & 0x7f));
        table[static_cast<size_t>(byte)] = static_cast<uint8_t>((code & 0x80) | (~magnitude & 0x7f));
    }
    return table;
}

constexpr std::array<uint8_t, 256> TABLE = makeTable();

}  // namespace

void mulawFromAlaw(uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; ++i)
        bytes[i] = TABLE[bytes[i]];
}

}  // namespace sipbridge
