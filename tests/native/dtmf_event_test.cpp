#include "dtmf_event.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace sipbridge;
using std::string;

namespace {

const string RELAY = "application/dtmf-relay", PLAIN = "application/dtmf", PAYLOAD = "audio/telephone-event";

/** The event of a body; -1 if it has none. */
int eventIn(const string &type, const string &body) {
    const auto info = readInfoBody(type, body);
    return info ? info->event.event : -1;
}

}  // namespace

TEST_CASE("events 0 to 15 are digits, and no others") {
    string digits;
    for (int event = 0; event < 16; ++event)
        digits += digitOf(event);
    CHECK(digits == "0123456789*#ABCD");
    for (const int event : {-1, 16, 17, 255})
        CHECK(digitOf(event) == '\0');
}

TEST_CASE("a payload has the event, the end bit and the duration") {
    const auto event = readEventPayload("\x0b\x8a\x03\x20", 4);
    REQUIRE(event);
    CHECK(event->event == 11);
    CHECK(event->end);
    CHECK(event->duration == 800);
    CHECK_FALSE(readEventPayload("\x0b\x4a\xff\xff", 4)->end);
    CHECK(readEventPayload("\x0b\x4a\xff\xff", 4)->duration == 65535);
    CHECK_MESSAGE(readEventPayload("\x01\x00\x00\xa0\x05", 5)->event == 1, "further bytes are ignored");
}

TEST_CASE("a payload of less than four bytes has no event") {
    for (size_t length = 0; length < 4; ++length) {
        const string bytes = string("\x01\x80\x01\x40").substr(0, length);
        CHECK_FALSE(readEventPayload(bytes.data(), bytes.size()));
    }
}

TEST_CASE("an INFO names its event in a line, or as its only line") {
    for (const string body : {"Signal=5\r\nDuration=160\r\n", "Signal= 5\r\n", "signal : 5", "Duration=160\nSIGNAL=5",
                              "event=5\r\n", "events: 5", "5", " 5 \r\n", "\r\n5\r\n"})
        CHECK_MESSAGE(eventIn(RELAY, body) == 5, body);
    CHECK(eventIn(PLAIN, "5") == 5);
    CHECK(eventIn(PAYLOAD, "5") == 5);
}

TEST_CASE("an INFO writes its event as a digit or as a number") {
    CHECK(eventIn(RELAY, "Signal=*") == 10);
    CHECK(eventIn(RELAY, "Signal=#") == 11);
    CHECK(eventIn(RELAY, "Signal=d") == 15);
    CHECK(eventIn(RELAY, "Signal=11") == 11);
    CHECK_MESSAGE(eventIn(RELAY, "Signal=!") == 16, "flash");
    CHECK(eventIn(RELAY, "Signal=255") == 255);
}

TEST_CASE("an INFO without a valid event is refused") {
    for (const string body : {"", "\r\n", "Signal=", "Signal=256", "Signal=1000", "Signal=0005", "Signal=E",
                              "Signal=12a", "Signal=-1", "Duration=160", "Signal=??"})
        CHECK_MESSAGE(eventIn(RELAY, body) == -1, body);
    CHECK(eventIn(RELAY, string("\x05\x80\x03\x20", 4)) == -1);
}

TEST_CASE("an INFO may carry a payload as in RTP") {
    const auto held = readInfoBody(PAYLOAD, string("\x05\x0a\x01\x40", 4));
    REQUIRE(held);
    CHECK(held->isPayload);
    CHECK(held->event.event == 5);
    CHECK_FALSE(held->event.end);
    CHECK(held->event.duration == 320);
    CHECK(readInfoBody(PAYLOAD, string("\x05\x8a\x01\x40", 4))->event.end);
    CHECK_FALSE(readInfoBody(PAYLOAD, "5")->isPayload);
    CHECK(readInfoBody(PAYLOAD, "5")->event.end);
}

TEST_CASE("only three types of body carry digits") {
    for (const string &type : {RELAY, PLAIN, PAYLOAD})
        CHECK(isDtmfType(type));
    for (const string type : {"application/sdp", "text/plain", "audio/telephone-events", ""})
        CHECK_FALSE(isDtmfType(type));
}

TEST_CASE("a body may be ignored if its disposition says so") {
    CHECK(isOptional("render;handling=optional"));
    CHECK(isOptional("Render ; Handling = Optional"));
    CHECK_FALSE(isOptional("render;handling=required"));
    CHECK_FALSE(isOptional("render"));
}

TEST_CASE("mutated bodies and payloads are read or refused") {
    std::mt19937 random(4733);
    for (int round = 0; round < 20000; ++round) {
        string body = "Signal=5\r\nDuration=160\r\n";
        for (unsigned changes = random() % 6; changes; --changes)
            body[random() % body.size()] = static_cast<char>(random());
        body.resize(random() % (body.size() + 1));
        for (const string &type : {RELAY, PAYLOAD}) {
            const auto info = readInfoBody(type, body);
            const bool valid = !info || (info->event.event >= 0 && info->event.event <= 255);
            REQUIRE(valid);
        }
        readEventPayload(body.data(), body.size());
    }
}
