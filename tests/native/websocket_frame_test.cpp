#include "websocket_frame.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <set>
#include <string>

using namespace sipbridge;

namespace {

std::string bytes(std::initializer_list<int> values) { return std::string(values.begin(), values.end()); }

/** Undo the mask of a frame that is written here. */
std::string unmasked(const std::string &frame, size_t headerSize) {
    std::string message = frame.substr(headerSize + 4);
    for (size_t i = 0; i < message.size(); ++i)
        message[i] = static_cast<char>(message[i] ^ frame[headerSize + i % 4]);
    return message;
}

}  // namespace

TEST_CASE("a header has one of three lengths") {
    FrameHeader header;
    REQUIRE(readFrameHeader(bytes({0x81, 125}), &header));
    CHECK((header.first == FrameHeader::TEXT && !header.masked && header.size == 2 && header.payload == 125));
    REQUIRE(readFrameHeader(bytes({0x81, 126, 1, 2}), &header));
    CHECK((header.size == 4 && header.payload == 0x102));
    REQUIRE(readFrameHeader(bytes({0x82, 127, 0, 0, 0, 0, 0, 1, 2, 3}), &header));
    CHECK((header.first == 0x82 && header.size == 10 && header.payload == 0x10203));
}

TEST_CASE("a header that is not complete needs more bytes") {
    FrameHeader header;
    for (const std::string &whole :
         {bytes({0x81, 5}), bytes({0x81, 126, 1, 2}), bytes({0x81, 127, 0, 0, 0, 0, 0, 1, 2, 3})})
        for (size_t size = 0; size < whole.size(); ++size)
            CHECK_FALSE(readFrameHeader(whole.substr(0, size), &header));
}

TEST_CASE("the key of a masked frame counts as payload") {
    FrameHeader header;
    REQUIRE(readFrameHeader(bytes({0x81, 0x80 | 7}), &header));
    CHECK((header.masked && header.payload == 11));
}

TEST_CASE("a payload may be longer than memory") {
    FrameHeader header;
    REQUIRE(readFrameHeader(bytes({0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}), &header));
    CHECK(header.payload == std::numeric_limits<size_t>::max());
}

TEST_CASE("a message may be in several frames, with control frames between them") {
    FrameHeader header;
    const auto opensAndEnds = [&](int first) {
        REQUIRE(readFrameHeader(bytes({first, 0}), &header));
        return std::make_pair(header.opensFragments(), header.endsFragments());
    };
    CHECK(opensAndEnds(0x01) == std::make_pair(true, false));
    CHECK(opensAndEnds(0x00) == std::make_pair(false, false));
    CHECK(opensAndEnds(0x80) == std::make_pair(false, true));
    CHECK(opensAndEnds(0x81) == std::make_pair(false, false));
    CHECK(opensAndEnds(0x89) == std::make_pair(false, false));
}

TEST_CASE("messages of every length are masked, and can be read") {
    for (const size_t size : {0, 1, 7, 8, 9, 125, 126, 300, 65535}) {
        const std::string message(size, 'm');
        std::string frame;
        appendTextFrame(message, &frame);
        FrameHeader header;
        REQUIRE(readFrameHeader(frame, &header));
        CHECK(header.first == FrameHeader::TEXT);
        CHECK(header.masked);
        CHECK(header.payload == size + 4);
        CHECK(frame.size() == header.size + header.payload);
        CHECK(unmasked(frame, header.size) == message);
    }
}

TEST_CASE("every frame has another key") {
    std::set<std::string> keys;
    for (int i = 0; i < 200; ++i) {
        std::string frame;
        appendTextFrame("m", &frame);
        keys.insert(frame.substr(2, 4));
    }
    CHECK(keys.size() > 190);
}
