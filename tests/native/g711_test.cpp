#include "g711.hpp"

#include <doctest/doctest.h>

#include <cstdlib>

using namespace sipbridge;

namespace {

uint8_t mulaw(int alaw) {
    uint8_t byte = static_cast<uint8_t>(alaw);
    mulawFromAlaw(&byte, 1);
    return byte;
}

uint8_t alaw(int mulaw) {
    uint8_t byte = static_cast<uint8_t>(mulaw);
    alawFromMulaw(&byte, 1);
    return byte;
}

}  // namespace

TEST_CASE("silence and the loudest samples stay so in the other law") {
    CHECK(alaw(0xff) == 0xd5);
    CHECK(alaw(0x7f) == 0x55);
    CHECK(mulaw(0xd5) == 0xfe);
    CHECK(alaw(0x80) == 0xaa);
    CHECK(alaw(0x00) == 0x2a);
    CHECK(mulaw(0xaa) == 0x80);
    CHECK(mulaw(0x2a) == 0x00);
}

TEST_CASE("the sign stays") {
    for (int byte = 0; byte < 256; ++byte) {
        CHECK((mulaw(byte) & 0x80) == (byte & 0x80));
        CHECK((alaw(byte) & 0x80) == (byte & 0x80));
    }
}

TEST_CASE("conversion there and back changes a sample by one step at most") {
    for (int byte = 0; byte < 256; ++byte) {
        const int there = mulaw(byte) ^ 0x7f, back = alaw(mulaw(byte)) ^ 0x55;
        CHECK_MESSAGE(std::abs((back & 0x7f) - ((byte ^ 0x55) & 0x7f)) <= 1, byte);
        CHECK_MESSAGE(std::abs(((mulaw(alaw(there ^ 0x7f)) ^ 0x7f) & 0x7f) - (there & 0x7f)) <= 1, byte);
    }
}
