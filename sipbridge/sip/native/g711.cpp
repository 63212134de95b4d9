#include "g711.hpp"

#include <array>

namespace sipbridge {

namespace {

const int MULAW_BIAS = 132;
const int MULAW_MOST = 32635;

/** The magnitude of an A-law code as 16-bit linear PCM. */
int linearFromAlaw(uint8_t code) {
    const int exponent = (code >> 4) & 7;
    const int mantissa = ((code & 15) << 4) + 8;
    return exponent == 0 ? mantissa : (mantissa + 256) << (exponent - 1);
}

/** The low seven bits of the mu-law code of a magnitude, not inverted. */
uint8_t mulawFromLinear(int magnitude) {
    const int biased = (magnitude < MULAW_MOST ? magnitude : MULAW_MOST) + MULAW_BIAS;
    int exponent = 7;
    while (exponent > 0 && !(biased & (1 << (exponent + 7))))
        --exponent;
    return static_cast<uint8_t>(exponent << 4 | ((biased >> (exponent + 3)) & 15));
}

std::array<uint8_t, 256> makeTable() {
    std::array<uint8_t, 256> table{};
    for (int byte = 0; byte < 256; ++byte) {
        // A-law inverts its even bits, and both laws use 1 for the sign plus.
        const auto code = static_cast<uint8_t>(byte ^ 0x55);
        const uint8_t magnitude = mulawFromLinear(linearFromAlaw(code & 0x7f));
        table[static_cast<size_t>(byte)] = static_cast<uint8_t>((code & 0x80) | (~magnitude & 0x7f));
    }
    return table;
}

const std::array<uint8_t, 256> TABLE = makeTable();

}  // namespace

void mulawFromAlaw(uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; ++i)
        bytes[i] = TABLE[bytes[i]];
}

}  // namespace sipbridge
