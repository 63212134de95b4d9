#include "framing.hpp"
#include "sdes.hpp"
#include "sdp.hpp"
#include "unreadable.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace sipbridge;
using std::string;

namespace {

string message(const string &body, const string &length) {
    return "INVITE sip:1@h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n"
           "Call-ID: 1\r\nCSeq: 1 INVITE\r\n" +
           length + "\r\n" + body;
}

string message(const string &body) { return message(body, "Content-Length: " + std::to_string(body.size()) + "\r\n"); }

/** All frames of bytes that are received in pieces of this size. */
std::vector<Frame> framesOf(const string &bytes, size_t piece) {
    StreamFramer framer;
    std::vector<Frame> frames;
    for (size_t at = 0; at < bytes.size(); at += piece) {
        framer.feed(bytes.substr(at, piece));
        for (Frame frame = framer.next(); frame.kind != FrameNone; frame = framer.next()) {
            frames.push_back(frame);
            if (frame.kind == FrameEnd)
                return frames;
        }
    }
    return frames;
}

}  // namespace

TEST_CASE("messages are returned whole, in whatever pieces the stream arrives") {
    const string one = message("v=0\r\n"), two = message(""), all = one + "\r\n\r\n" + two + one;
    for (size_t piece = 1; piece <= all.size(); ++piece) {
        std::vector<Frame> frames = framesOf(all, piece);
        REQUIRE(frames.size() == 4);
        CHECK(frames[0].text == one);
        CHECK(frames[1].kind == FramePing);
        CHECK(frames[2].text == two);
        CHECK(frames[3].text == one);
    }
}

TEST_CASE("a Content-Length that is not a number is refused with 400") {
    for (const string length :
         {"Content-Length: -1\r\n", "l: x\r\n", "Content-Length:\r\n", "Content-Length: 0x10\r\n"}) {
        const std::vector<Frame> frames = framesOf(message("", length), 7);
        REQUIRE_FALSE(frames.empty());
        CHECK(frames[0].kind == FrameRefused);
        CHECK(frames[0].status == 400);
    }
}

TEST_CASE("a message that is too long is refused with 513") {
    const std::vector<Frame> frames = framesOf(message(string(MAX_MESSAGE_BYTES, 'x')), 4096);
    REQUIRE_FALSE(frames.empty());
    CHECK(frames[0].kind == FrameRefused);
    CHECK(frames[0].status == 513);
}

TEST_CASE("a message without an end takes a limited amount of memory") {
    StreamFramer framer;
    framer.feed(message("", "Content-Length: 0\r\n").substr(0, 200));
    for (int i = 0; i < 1000; ++i) {
        framer.feed(string(65536, 'a'));
        if (framer.next().kind == FrameEnd)
            return;
    }
    FAIL("a head of 65 MB has no end");
}

TEST_CASE("mutated messages do not harm the framer and the readers") {
    std::mt19937 random(4475);
    const string good =
        message("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n");
    for (int round = 0; round < 20000; ++round) {
        string bytes = good + good;
        for (unsigned changes = random() % 8; changes; --changes) {
            const size_t at = random() % bytes.size();
            switch (random() % 4) {
            case 0:
                bytes[at] = static_cast<char>(random());
                break;
            case 1:
                bytes.erase(at, random() % 20);
                break;
            case 2:
                bytes.insert(at, bytes.substr(random() % bytes.size(), random() % 40));
                break;
            default:
                bytes.insert(at, 1, "\r\n\0:;,<>\" \t"[random() % 11]);
            }
            if (bytes.empty())
                bytes = "x";
        }
        for (const Frame &frame : framesOf(bytes, 1 + random() % 300)) {
            CHECK(frame.text.size() <= MAX_MESSAGE_BYTES + 1024);
            essentials(frame.text);
        }
        readDatagram(bytes);
        essentials(bytes);
        nameOf(bytes.substr(0, bytes.find('\n')));
    }
}
