#include "relayed_rtp.hpp"

#include <doctest/doctest.h>

#include <random>
#include <set>

using namespace sipbridge;
using std::chrono::milliseconds;

namespace {

const uint32_t SAMPLES = 160;  // 20 ms

/** A sender, and the leg that its packets are relayed to. Times are in milliseconds since the relay began. */
struct Line {
    Clock::time_point begin{std::chrono::hours(1)};
    RelayedRtp relayed;
    uint32_t source = 7;
    SentPacket sent{1000, 50000, SAMPLES, begin};

    std::optional<RelayedHeader> pass(int at, int sequence, uint32_t timestamp, bool isEvent = false,
                                      uint32_t samples = SAMPLES, bool marker = false) {
        const auto now = begin + milliseconds(at);
        const auto header = relayed.pass(
            RelayedPacket{source, static_cast<uint16_t>(sequence), timestamp, marker, isEvent, samples}, sent, now);
        if (header && !header->isLate)
            sent = SentPacket{header->sequence, header->timestamp, samples, now};
        return header;
    }

    /** Pass the packet with this number of a sender of 20 ms each, on time. */
    std::optional<RelayedHeader> packet(int number) {
        return pass(20 * number, number, SAMPLES * static_cast<uint32_t>(number));
    }

    /** Send 20 ms of our own. */
    void sendOwn(int at) {
        const auto now = begin + milliseconds(at);
        sent = SentPacket{static_cast<uint16_t>(sent.sequence + 1), nextTimestamp(sent, now), SAMPLES, now};
    }
};

void check(const std::optional<RelayedHeader> &header, int sequence, uint32_t timestamp, bool marker = false,
           bool isLate = false) {
    REQUIRE(header);
    CHECK(header->sequence == static_cast<uint16_t>(sequence));
    CHECK(header->timestamp == timestamp);
    CHECK(header->marker == marker);
    CHECK(header->isLate == isLate);
}

}  // namespace

TEST_CASE("the first packet follows our own, and begins a talkspurt") {
    Line line;
    check(line.pass(30, 77, 123456), 1001, 50240, true);
    check(line.pass(50, 78, 123616), 1002, 50400);
}

TEST_CASE("the first packet follows ours by its length, however early it comes") {
    Line line;
    check(line.pass(5, 77, 123456), 1001, 50160, true);
}

TEST_CASE("loss, pauses and the marker are passed on") {
    Line line;
    check(line.packet(1), 1001, 50160, true);
    check(line.packet(4), 1004, 50640);
    check(line.pass(200, 5, SAMPLES * 10, false, SAMPLES, true), 1005, 51600, true);
}

TEST_CASE("sequence and timestamp wrap on both sides") {
    Line line;
    line.sent.sequence = 65534;
    line.sent.timestamp = 0xffffffff - SAMPLES;
    check(line.pass(20, 65535, 0xffffff00), 65535, 0xffffffff, true);
    check(line.pass(40, 0, 0xffffffa0), 0, 159);
    check(line.pass(60, 1, 64), 1, 319);
}

TEST_CASE("overtaken packets pass with their own number, once") {
    Line line;
    line.packet(1);
    line.packet(4);
    check(line.pass(81, 2, 2 * SAMPLES), 1002, 50320, false, true);
    CHECK(!line.pass(82, 2, 2 * SAMPLES));
    CHECK(!line.pass(83, 4, 4 * SAMPLES));
    CHECK(!line.pass(84, 1, SAMPLES));
    check(line.pass(85, 3, 3 * SAMPLES), 1003, 50480, false, true);
    check(line.packet(5), 1005, 50800);
}

TEST_CASE("packets from before the first do not get numbers of ours that are taken") {
    Line line;
    line.packet(5);
    CHECK(!line.packet(4));
    check(line.packet(6), 1002, 50960);
}

TEST_CASE("a sender that restarts continues without a jump") {
    Line line;
    line.packet(1);
    line.source = 8;
    check(line.pass(45, 9000, 5), 1002, 50360, true);
    check(line.pass(65, 9001, 165), 1003, 50520);
    check(line.pass(85, 40, 325), 1004, 50680, true);
}

TEST_CASE("another source is a restart, even if its sequence number is one of the first source") {
    Line line;
    line.packet(1);
    line.source = 8;
    check(line.pass(40, 1, 7000), 1002, 50320, true);
}

TEST_CASE("another clock of the sender continues without a jump") {
    Line line;
    line.packet(1);
    check(line.pass(40, 2, 5), 1002, 50320, true);
    check(line.pass(60, 3, 165), 1003, 50480);
    check(line.pass(80, 4, 165 + 80000), 1004, 50640, true);
}

TEST_CASE("a burst after a stall keeps its timestamps") {
    Line line;
    line.packet(1);
    for (int number = 2; number < 12; ++number)
        check(line.pass(220, number, SAMPLES * static_cast<uint32_t>(number)), 1000 + number,
              50000 + SAMPLES * static_cast<uint32_t>(number));
}

TEST_CASE("packets follow those of our own, in number and in time") {
    Line line;
    line.packet(1);
    line.sendOwn(260);
    line.sendOwn(280);
    CHECK(line.sent.sequence == 1003);
    CHECK(line.sent.timestamp == 50000 + 8 * 280);
    check(line.pass(290, 3, 3 * SAMPLES), 1004, 50000 + 8 * 300, true);
    CHECK(!line.pass(291, 2, 2 * SAMPLES));
    check(line.pass(310, 4, 4 * SAMPLES), 1005, 50000 + 8 * 320);
}

TEST_CASE("a press keeps the timestamp of its beginning, and audio goes on after it") {
    Line line;
    line.packet(1);
    check(line.pass(40, 2, 2 * SAMPLES, true, 160, true), 1002, 50320, true);
    check(line.pass(60, 3, 2 * SAMPLES, true, 320), 1003, 50320);
    check(line.pass(80, 4, 2 * SAMPLES, true, 480), 1004, 50320);
    check(line.pass(100, 5, 5 * SAMPLES), 1005, 50800);
}

TEST_CASE("a press between audio keeps its distance from it") {
    Line line;
    line.packet(1);
    check(line.pass(40, 2, 2 * SAMPLES, true, 160, true), 1002, 50320, true);
    check(line.pass(42, 3, 2 * SAMPLES), 1003, 50320);
    check(line.pass(62, 4, 3 * SAMPLES), 1004, 50480);
    check(line.pass(64, 5, 2 * SAMPLES, true, 320), 1005, 50320);
    check(line.pass(82, 6, 4 * SAMPLES), 1006, 50640);
}

TEST_CASE("a press keeps its timestamp when our numbers change within it") {
    Line line;
    line.packet(1);
    line.pass(40, 2, 2 * SAMPLES, true, 160, true);
    line.sendOwn(60);
    check(line.pass(80, 3, 2 * SAMPLES, true, 480), 1004, 50320);
}

TEST_CASE("a flood passes at the rate of a call") {
    Line line;
    int passed = 0;
    for (int number = 0; number < 20000; ++number)
        passed += line.pass(number / 10, number, SAMPLES * static_cast<uint32_t>(number)).has_value();
    CHECK(passed <= 100 + 2000 / 4 + 1);
    CHECK(passed >= 500);
}

TEST_CASE("no number is sent twice, whatever comes") {
    std::mt19937 random(20261129);
    for (int round = 0; round < 200; ++round) {
        Line line;
        std::set<uint16_t> used{line.sent.sequence};
        int sequence = 0;
        for (int step = 0; step < 300; ++step) {
            const int at = step * 5;
            if (random() % 20 == 0) {
                line.sendOwn(at);
                CHECK(used.insert(line.sent.sequence).second);
                continue;
            }
            sequence += static_cast<int>(random() % 7) - 2;
            if (random() % 50 == 0)
                sequence = static_cast<int>(random() % 65536);
            if (random() % 80 == 0)
                line.source = random() % 3;
            const uint32_t before = line.sent.timestamp;
            const auto header = line.pass(at, sequence, static_cast<uint32_t>(sequence) * SAMPLES);
            if (!header)
                continue;
            CHECK(used.insert(header->sequence).second);
            if (!header->isLate)
                CHECK(static_cast<int32_t>(header->timestamp - before) > 0);
        }
    }
}
