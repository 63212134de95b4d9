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

typedef int (*Law)(int code);

constexpr int distance(int one, int other) { return one < other ? other - one : one - other; }

/** The code of a law whose magnitude is nearest. */
constexpr int nearestCode(int magnitude, Law linear) {
    int nearest = 0;
    for (int code = 1; code < 128; ++code)
        if (distance(linear(code), magnitude) < distance(linear(nearest), magnitude))
            nearest = code;
    return nearest;
}

// A-law inverts its even bits, and mu-law all but the sign. In both laws, a sign of 1 is plus.
constexpr int ALAW_INVERTED = 0x55, MULAW_INVERTED = 0x7f;

/** The bytes of one law, by those of another. */
constexpr std::array<uint8_t, 256> makeTable(int inverted, Law linear, int toInverted, Law toLinear) {
    std::array<uint8_t, 256> table{};
    for (int byte = 0; byte < 256; ++byte) {
        const int code = byte ^ inverted;
        const int magnitude = nearestCode(linear(code & 0x7f), toLinear);
        table[static_cast<size_t>(byte)] = static_cast<uint8_t>(((code & 0x80) | magnitude) ^ toInverted);
    }
    return table;
}

constexpr auto MULAW = makeTable(ALAW_INVERTED, &linearFromAlaw, MULAW_INVERTED, &linearFromMulaw);
constexpr auto ALAW = makeTable(MULAW_INVERTED, &linearFromMulaw, ALAW_INVERTED, &linearFromAlaw);

void convert(const std::array<uint8_t, 256> &table, uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; ++i)
        bytes[i] = table[bytes[i]];
}

}  // namespace

void mulawFromAlaw(uint8_t *bytes, size_t count) { convert(MULAW, bytes, count); }

void alawFromMulaw(uint8_t *bytes, size_t count) { convert(ALAW, bytes, count); }

}  // namespace sipbridge
