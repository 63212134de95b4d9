#include "dtmf_presses.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace sipbridge;
using std::string;
using std::chrono::milliseconds;

namespace {

const uint32_t SSRC = 0x5eed;
const uint32_t PACKET = 160;  // 20 ms, in units of the timestamp

/** A leg whose far end sends a packet or an INFO every 20 ms. */
struct Leg {
    DtmfPresses presses;
    Clock::time_point now{std::chrono::hours(1)};
    string digits;
    bool overRate = false;
    bool isJoined = false;  // with another leg that can get event packets

    void take(const DigitReport &report) {
        digits += report.digits;
        overRate = overRate || report.overRate;
    }

    void event(int number, uint32_t timestamp, uint32_t duration, bool end = false, bool marker = false) {
        now += milliseconds(20);
        take(presses.onEventPacket(PressId{SSRC, timestamp, number}, marker, DtmfEvent{number, end, duration}, isJoined,
                                   now));
    }

    /** A whole press, with three packets of its end. */
    void press(int number, uint32_t timestamp) {
        event(number, timestamp, PACKET, false, true);
        event(number, timestamp, 2 * PACKET);
        for (int copy = 0; copy < 3; ++copy)
            event(number, timestamp, 3 * PACKET, true);
    }

    void audio() {
        now += milliseconds(20);
        take(presses.onAudioPacket(now));
    }

    void info(int number) {
        now += milliseconds(20);
        take(presses.onInfo(InfoEvent{DtmfEvent{number}}, now));
    }

    void infoPayload(int number, uint32_t duration, bool end) {
        now += milliseconds(20);
        take(presses.onInfo(InfoEvent{DtmfEvent{number, end, duration}, true}, now));
    }

    void turns(int count) {
        for (int turn = 0; turn < count; ++turn) {
            now += milliseconds(20);
            take(presses.onTurn(now));
        }
    }
};

}  // namespace

TEST_CASE("a press is reported once, at its end") {
    Leg leg;
    leg.event(5, 1000, PACKET, false, true);
    leg.event(5, 1000, 2 * PACKET);
    CHECK(leg.digits.empty());
    CHECK(leg.presses.isHeld());
    for (int copy = 0; copy < 3; ++copy)
        leg.event(5, 1000, 3 * PACKET, true);
    CHECK(leg.digits == "5");
    CHECK_FALSE(leg.presses.isHeld());
}

TEST_CASE("a press is not reported if the joined leg gets its packets") {
    Leg leg;
    leg.isJoined = true;
    leg.event(5, 1000, PACKET, false, true);
    CHECK(leg.presses.isRelayed(PressId{SSRC, 1000, 5}));
    leg.event(5, 1000, 2 * PACKET, true);
    CHECK(leg.digits.empty());
    leg.press(6, 5000);
    CHECK(leg.digits.empty());
    CHECK_MESSAGE(leg.presses.isRelayed(PressId{SSRC, 1000, 5}), "a copy of its end");
    CHECK_FALSE(leg.presses.isRelayed(PressId{SSRC, 9000, 5}));
}

TEST_CASE("the joined leg gets all packets of a press or none") {
    Leg begunBefore, begunAfter;
    begunBefore.event(5, 1000, PACKET, false, true);
    begunBefore.isJoined = true;
    begunBefore.event(5, 1000, 2 * PACKET, true);
    CHECK(begunBefore.digits == "5");
    CHECK_FALSE(begunBefore.presses.isRelayed(PressId{SSRC, 1000, 5}));
    begunAfter.isJoined = true;
    begunAfter.event(5, 1000, PACKET, false, true);
    begunAfter.isJoined = false;
    begunAfter.event(5, 1000, 2 * PACKET, true);
    CHECK(begunAfter.digits.empty());
}

TEST_CASE("a press that also comes as INFO reaches the joined leg once") {
    Leg infoFirst, infoWithin, infoLast;
    for (Leg *leg : {&infoFirst, &infoWithin, &infoLast})
        leg->isJoined = true;
    infoFirst.info(5);
    infoFirst.press(5, 1000);
    CHECK(infoFirst.digits == "5");
    CHECK_FALSE(infoFirst.presses.isRelayed(PressId{SSRC, 1000, 5}));
    infoWithin.event(5, 1000, PACKET, false, true);
    infoWithin.info(5);
    infoWithin.event(5, 1000, 2 * PACKET, true);
    CHECK(infoWithin.digits.empty());
    infoLast.press(5, 1000);
    infoLast.info(5);
    CHECK(infoLast.digits.empty());
    infoLast.info(5);
    CHECK(infoLast.digits == "5");
}

TEST_CASE("the same digit twice is two presses") {
    Leg leg;
    leg.press(5, 1000);
    leg.press(5, 5000);
    CHECK(leg.digits == "55");
}

TEST_CASE("a press of which only one packet arrives is reported") {
    Leg leg;
    leg.event(1, 1000, 3 * PACKET, true);
    CHECK(leg.digits == "1");
    leg.event(1, 5000, 3 * PACKET, true);
    CHECK(leg.digits == "11");
}

TEST_CASE("a packet that arrives late does not report its press again") {
    Leg leg;
    leg.press(1, 1000);
    leg.press(2, 5000);
    leg.event(1, 1000, 3 * PACKET, true);
    leg.event(2, 5000, 2 * PACKET);
    CHECK(leg.digits == "12");
    CHECK_FALSE(leg.presses.isHeld());
}

TEST_CASE("a press whose end is lost is reported with the next press, with audio, or after 300 ms") {
    Leg next, audio, silence;
    for (Leg *leg : {&next, &audio, &silence})
        leg->event(7, 1000, PACKET, false, true);
    next.event(8, 5000, PACKET, false, true);
    CHECK(next.digits == "7");
    audio.audio();
    CHECK(audio.digits == "7");
    silence.turns(14);
    CHECK(silence.digits.empty());
    silence.turns(1);
    CHECK(silence.digits == "7");
    silence.turns(50);
    CHECK(silence.digits == "7");
}

TEST_CASE("a press lasts as long as its packets come") {
    Leg leg;
    for (uint32_t packet = 1; packet <= 50; ++packet) {
        leg.event(5, 1000, packet * PACKET);
        leg.turns(1);
        CHECK(leg.digits.empty());
    }
    leg.event(5, 1000, 50 * PACKET, true);
    CHECK(leg.digits == "5");
}

TEST_CASE("a packet whose timestamp is within the press belongs to it") {
    Leg leg;
    leg.event(5, 1000, 4 * PACKET, false, true);
    leg.event(5, 1000 + 4 * PACKET, PACKET, true);
    CHECK(leg.digits == "5");
    leg.event(6, 9000, 4 * PACKET, false, true);
    leg.event(6, 9000 + 4 * PACKET + 1, PACKET, true);
    CHECK(leg.digits == "566");
}

TEST_CASE("a press of over 8 s, which has several timestamps, is one press") {
    Leg leg;
    uint32_t start = 1000;
    for (int segment = 0; segment < 3; ++segment) {
        leg.event(5, start, PACKET, false, segment == 0);
        leg.event(5, start, 0xffff);
        start += 0xffff;
    }
    leg.event(5, start, PACKET, true);
    CHECK(leg.digits == "5");
}

TEST_CASE("a segment may begin a packet early or a tick late, but not later") {
    for (const uint32_t start : {0xffff - 400U, 0xffffU, 0x10000U}) {
        Leg leg;
        leg.event(5, 0, PACKET, false, true);
        leg.event(5, start, PACKET, true);
        CHECK_MESSAGE(leg.digits == "5", start);
    }
    for (const uint32_t start : {0xffff - 401U, 0x10001U}) {
        Leg leg;
        leg.event(5, 0, PACKET, false, true);
        leg.event(5, start, PACKET, true);
        CHECK_MESSAGE(leg.digits == "55", start);
    }
}

TEST_CASE("the marker bit or another source begins a new press") {
    Leg marked, moved;
    marked.event(5, 1000, PACKET, false, true);
    marked.event(5, 1000 + PACKET, PACKET, true, true);
    CHECK(marked.digits == "55");
    moved.event(5, 1000, PACKET, false, true);
    moved.now += milliseconds(20);
    moved.take(moved.presses.onEventPacket(PressId{SSRC + 1, 1000 + PACKET, 5}, false, DtmfEvent{5, true, PACKET},
                                           false, moved.now));
    CHECK(moved.digits == "55");
}

TEST_CASE("each INFO is a press") {
    Leg leg;
    leg.info(1);
    leg.info(1);
    leg.info(11);
    CHECK(leg.digits == "11#");
}

TEST_CASE("INFOs with a payload report one press until the digit is released") {
    Leg leg;
    for (const uint32_t duration : {160U, 320U, 480U})
        leg.infoPayload(5, duration, false);
    leg.infoPayload(5, 480, true);
    CHECK(leg.digits == "5");
    leg.infoPayload(5, 640, false);
    CHECK(leg.digits == "55");
    leg.infoPayload(5, 640, false);
    CHECK_MESSAGE(leg.digits == "555", "its duration did not grow");
    leg.infoPayload(6, 160, true);
    CHECK(leg.digits == "5556");
}

TEST_CASE("a press that comes both ways is reported once, whichever comes first") {
    Leg rtpFirst, infoFirst;
    rtpFirst.press(5, 1000);
    rtpFirst.info(5);
    CHECK(rtpFirst.digits == "5");
    rtpFirst.info(5);
    CHECK_MESSAGE(rtpFirst.digits == "55", "the press has its pair already");
    infoFirst.info(5);
    infoFirst.press(5, 1000);
    CHECK(infoFirst.digits == "5");
    infoFirst.press(5, 5000);
    infoFirst.info(5);
    CHECK(infoFirst.digits == "55");
}

TEST_CASE("an INFO more than a second after the RTP event is another press") {
    Leg soon, late;
    for (Leg *leg : {&soon, &late})
        leg->press(5, 1000);
    soon.now += milliseconds(900);
    soon.info(5);
    CHECK(soon.digits == "5");
    late.now += milliseconds(1000);
    late.info(5);
    CHECK(late.digits == "55");
}

TEST_CASE("a long press pairs with the INFO that came at its beginning") {
    Leg leg;
    leg.info(5);
    leg.event(5, 1000, PACKET, false, true);
    leg.now += milliseconds(5000);
    leg.event(5, 1000, 40000, true);
    CHECK(leg.digits == "5");
}

TEST_CASE("more than 40 digits at once or 20 per second are dropped") {
    Leg leg;
    const Clock::time_point start = leg.now;
    for (int digit = 0; digit < 60; ++digit) {
        leg.now = start - milliseconds(20);
        leg.info(digit % 10);
    }
    CHECK(leg.digits.size() == 40);
    CHECK(leg.overRate);
    leg.overRate = false;
    for (int digit = 0; digit < 20; ++digit) {
        leg.now = start + milliseconds(50 * (digit + 1) - 20);
        leg.info(digit % 10);
    }
    CHECK(leg.digits.size() == 60);
    CHECK_FALSE(leg.overRate);
}

TEST_CASE("any sequence of packets reports at most one digit per packet") {
    std::mt19937 random(2833);
    for (int round = 0; round < 300; ++round) {
        Leg leg;
        size_t packets = 0;
        for (; packets < 300; ++packets) {
            const int number = static_cast<int>(random() % 16);
            switch (random() % 5) {
            case 0:
                leg.info(number);
                break;
            case 1:
                leg.infoPayload(number, random() % 0x10000, random() % 2);
                break;
            case 2:
                leg.audio();
                break;
            case 3:
                leg.turns(static_cast<int>(random() % 20));
                break;
            default:
                leg.event(number, random() % 4 * 0xffff, random() % 0x10000, random() % 2, random() % 2);
            }
        }
        CHECK(leg.digits.size() <= packets);
        CHECK(leg.digits.find_first_not_of("0123456789*#ABCD") == string::npos);
    }
}
