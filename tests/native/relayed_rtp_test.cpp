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
        const RelayedPacket packet{source, static_cast<uint16_t>(sequence), timestamp, marker, isEvent, samples};
        const auto header = relayed.pass(packet, sent, now);
        if (header && !header->isLate)
            sent = relayedPacket(sent, *header, packet, now);
        return header;
    }

    /** Pass the packet with this number of a sender of 20 ms each, on time. */
    std::optional<RelayedHeader> packet(int number) {
        return pass(20 * number, number, SAMPLES * static_cast<uint32_t>(number));
    }

    /** Send silence every 20 ms, as a leg does that has got no packet. */
    void fill(int from, int until) {
        for (int at = from; at < until; at += 20)
            sendOwn(at);
    }

    /** Send 20 ms of our own. */
    void sendOwn(int at) { sent = ownPacket(sent, SAMPLES, begin + milliseconds(at)); }

    /** How far the timestamp of a packet that is sent at a time runs ahead of it, in milliseconds. */
    static int lead(const RelayedHeader &header, int at) { return static_cast<int>(header.timestamp - 50000) / 8 - at; }
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

TEST_CASE("packets follow those of our own in number, and keep the sender's time") {
    Line line;
    line.packet(1);
    line.fill(260, 290);
    CHECK(line.sent.sequence == 1003);
    CHECK(line.sent.timestamp == 50000 + 8 * 280);
    check(line.pass(290, 3, 8 * 290), 1004, 50000 + 8 * 290, true);
    CHECK(!line.pass(291, 2, 2 * SAMPLES));
    check(line.pass(310, 4, 8 * 310), 1005, 50000 + 8 * 310);
}

TEST_CASE("audio whose time silence has covered is lost after a stall, and time goes on as before") {
    Line line;
    line.packet(1);
    for (int stall = 0; stall < 3; ++stall) {
        const int last = 1 + 100 * stall, end = 20 * (last + 45);
        line.fill(20 * last + 220, end);
        const uint32_t covered = line.sent.timestamp;
        int passed = 0;
        for (int number = last + 1; number <= last + 45; ++number)
            if (const auto header = line.pass(end, number, SAMPLES * static_cast<uint32_t>(number))) {
                CHECK(header->timestamp == 50000 + SAMPLES * static_cast<uint32_t>(number));
                CHECK(header->timestamp >= covered);
                CHECK(header->marker == (passed++ == 0));
            }
        CHECK(passed == 2);  // those of the time of our last packet, and of now
        for (int number = last + 46; number <= last + 100; ++number) {
            const int sequence = line.sent.sequence + 1;
            check(line.packet(number), sequence, 50000 + SAMPLES * static_cast<uint32_t>(number));
        }
    }
}

TEST_CASE("packets that a stall has held up are lost also if they do not come all at once") {
    Line line;
    line.packet(1);
    line.fill(220, 1000);
    bool passed = false;
    for (int number = 2, at = 1000, own = 1000; number < 200; ++number) {
        at = std::max(at + 8, 20 * number);  // two and a half times as fast as they were sent
        for (; own <= at && !passed; own += 20)
            line.sendOwn(own);
        const auto header = line.pass(at, number, SAMPLES * static_cast<uint32_t>(number));
        CHECK((header.has_value() || !passed));
        passed = header.has_value();
        if (header)
            CHECK(header->timestamp == 50000 + SAMPLES * static_cast<uint32_t>(number));
    }
    CHECK(passed);
}

TEST_CASE("packets that a stall has held up leave no delay, at whatever pace they come") {
    for (const bool marker : {false, true}) {
        for (const int pace : {0, 1, 4, 8, 11, 12}) {
            CAPTURE(marker);
            CAPTURE(pace);
            Line line;
            line.packet(1);
            line.fill(220, 1000);
            int misplaced = 0;  // late audio with the timestamp of a later time
            for (int number = 2, at = 1000, own = 1000; number < 200; ++number) {
                at = std::max(at + pace, 20 * number);
                for (; own <= at; own += 20)
                    line.sendOwn(own);
                const auto header =
                    line.pass(at, number, SAMPLES * static_cast<uint32_t>(number), false, SAMPLES, marker);
                if (header) {
                    own = at + 200;
                    misplaced += header->timestamp != 50000 + SAMPLES * static_cast<uint32_t>(number);
                    CHECK(Line::lead(*header, at) <= 60);
                }
                if (number >= 150)
                    CHECK((header && header->timestamp == 50000 + SAMPLES * static_cast<uint32_t>(number)));
            }
            CHECK(misplaced <= (marker || pace > 10 ? 3 : 0));
        }
    }
}

TEST_CASE("a sender whose clock stands still in pauses loses nothing of a marked talkspurt, else a packet") {
    for (const bool marker : {true, false}) {
        CAPTURE(marker);
        Line line;
        line.packet(1);
        for (int spurt = 0, number = 2; spurt < 500; ++spurt) {
            const int begin = 1000 * spurt + 517;
            line.fill(1000 * spurt + 260, begin);
            int lost = 0;
            for (int at = begin; at < begin + 500; at += 20, ++number) {
                const auto header = line.pass(at, number, SAMPLES * static_cast<uint32_t>(number), false, SAMPLES,
                                              marker && at == begin);
                if (!header) {
                    ++lost;
                    line.sendOwn(at + 3);
                    continue;
                }
                CHECK((Line::lead(*header, at) >= 0 && Line::lead(*header, at) <= 20));
                CHECK(header->marker == (at == begin + 20 * lost));
            }
            CHECK(lost == (marker ? 0 : 1));
        }
    }
}

TEST_CASE("a marked talkspurt of a clock that stood still is whole in spite of jitter") {
    std::mt19937 random(20261129);
    Line line;
    line.packet(1);
    for (int spurt = 0, number = 2; spurt < 500; ++spurt) {
        const int begin = 1000 * spurt + 517;
        line.fill(1000 * spurt + 280, begin);
        for (int at = begin; at < begin + 500; at += 20, ++number) {
            const int came = at + static_cast<int>(random() % 20);
            const auto header =
                line.pass(came, number, SAMPLES * static_cast<uint32_t>(number), false, SAMPLES, at == begin);
            REQUIRE(header);
            CHECK(Line::lead(*header, came) <= 40);
        }
    }
}

TEST_CASE("a talkspurt of a clock that stood still has no delay if a network has held up its beginning") {
    for (const bool marker : {true, false}) {
        CAPTURE(marker);
        Line line;
        line.packet(1);
        line.fill(220, 1300);
        for (int number = 2; number < 100; ++number) {
            const int sentAt = 1000 + 20 * (number - 2), at = std::max(1300, sentAt);
            const auto header =
                line.pass(at, number, SAMPLES * static_cast<uint32_t>(number), false, SAMPLES, marker && number == 2);
            if (header)
                CHECK(Line::lead(*header, at) <= 20);
            if (sentAt >= 1380)
                CHECK(header);
        }
    }
}

TEST_CASE("packets that were held up do not count against the talkspurt after the next pause") {
    Line line;
    line.packet(1);
    line.fill(220, 1000);
    for (int number = 2; number < 100; ++number)
        line.pass(std::max(1000 + 4 * number, 20 * number), number, SAMPLES * static_cast<uint32_t>(number));
    line.fill(2200, 2500);
    for (int number = 100; number < 110; ++number) {
        const int at = 2500 + 20 * (number - 100);
        CHECK(line.pass(at, number, SAMPLES * static_cast<uint32_t>(number)).has_value() == (number > 100));
    }
}

TEST_CASE("a talkspurt whose first packet alone comes late keeps the sender's time") {
    Line line;
    line.packet(1);
    line.fill(220, 1060);
    int lost = 0;
    for (int number = 50; number < 100; ++number) {
        const int sentAt = 20 * number, at = std::max(1060 + number - 50, sentAt);
        const auto header =
            line.pass(at, number, SAMPLES * static_cast<uint32_t>(number), false, SAMPLES, number == 50);
        lost += !header;
        if (sentAt >= 1080)
            CHECK((header && Line::lead(*header, sentAt) == 0));
    }
    CHECK(lost == 2);
}

TEST_CASE("a marked talkspurt of a network that has become slower is whole") {
    Line line;
    line.packet(1);
    line.fill(220, 1060);
    for (int number = 50; number < 100; ++number) {
        const int at = 20 * number + 60;
        const auto header =
            line.pass(at, number, SAMPLES * static_cast<uint32_t>(number), false, SAMPLES, number == 50);
        CHECK((header && Line::lead(*header, at) == 0));
    }
}

TEST_CASE("a long talkspurt of a clock that stood still, and that is faster than ours, is whole") {
    Line line;
    line.packet(1);
    line.fill(220, 1000);
    for (int number = 2; number < 1000; ++number) {
        const int at = 1000 + 199 * (number - 2) / 10;
        CHECK(line.pass(at, number, SAMPLES * static_cast<uint32_t>(number), false, SAMPLES, number == 2));
    }
}

TEST_CASE("a clock that stood still, or a network that stays slower, keeps no audio back that comes in bursts") {
    std::mt19937 random(20261129);
    for (const bool marker : {false, true}) {
        for (const int heldUp : {0, 34}) {  // packets that come at once before the others
            for (const int burst : {1, 2, 3, 4, 6, 8}) {
                CAPTURE(marker);
                CAPTURE(heldUp);
                CAPTURE(burst);
                Line line;
                line.packet(1);
                line.fill(220, 1000);
                int lost = 0;
                for (int number = 0, own = 1000; number < heldUp + 60 * burst; ++number) {
                    const int sentAt = 20 * burst * (std::max(number - heldUp, 0) / burst);
                    const int at = 1000 + sentAt + static_cast<int>(random() % 3);
                    for (; own <= at; own += 20)
                        line.sendOwn(own);
                    const auto header = line.pass(at, number + 2, SAMPLES * static_cast<uint32_t>(number + 2), false,
                                                  SAMPLES, marker && number == 0);
                    if (header)
                        own = at + 200;
                    lost += !header && number >= heldUp;
                    if (number >= heldUp + std::max(3 * burst, 6)) {
                        REQUIRE(header);
                        CHECK(std::abs(Line::lead(*header, at)) <= 20 * burst + 3);
                    }
                }
                CHECK(lost <= std::max((heldUp ? 3 : 2) * burst, heldUp ? 5 : 1));
            }
        }
    }
}

TEST_CASE("a talkspurt of a clock that stood still loses four packets at most if their delay varies by 60 ms") {
    for (const bool marker : {false, true}) {
        CAPTURE(marker);
        std::mt19937 random(20261129);
        Line line;
        line.packet(1);
        int lost = 0;
        for (int spurt = 0, number = 2; spurt < 200; ++spurt) {
            int at = 7000 * spurt + 517, own = at - 240;
            for (int sentAt = at; sentAt < 7000 * spurt + 5517; sentAt += 20, ++number) {
                at = std::max(at, sentAt + static_cast<int>(random() % 60));
                for (; own <= at; own += 20)
                    line.sendOwn(own);
                const auto header = line.pass(at, number, SAMPLES * static_cast<uint32_t>(number), false, SAMPLES,
                                              marker && sentAt == 7000 * spurt + 517);
                lost += !header;
                if (header)
                    own = at + 200;
            }
        }
        CHECK(lost <= 200 * 4);
    }
}

TEST_CASE("a clock that stood still does not silence a sender of single packets") {
    Line line;
    line.packet(1);
    for (int number = 2; number < 50; ++number) {
        const int at = 300 * number;
        line.fill(at - 100, at);
        CHECK(line.pass(at, number, SAMPLES * static_cast<uint32_t>(number)).has_value() == (number % 2 == 1));
    }
}

TEST_CASE("two stalls in a row leave no delay") {
    for (const bool marker : {false, true}) {
        for (const int resumed : {2, 3, 10, 20}) {  // the packet before which the second stall begins
            CAPTURE(marker);
            CAPTURE(resumed);
            Line line;
            line.packet(1);
            line.fill(220, 1000);
            for (int number = 2, own = 1000; number < 200; ++number) {
                const int at = std::max(number < resumed ? 1000 : 1500, 20 * number);
                for (; own <= at; own += 20)
                    line.sendOwn(own);
                const auto header =
                    line.pass(at, number, SAMPLES * static_cast<uint32_t>(number), false, SAMPLES, marker);
                if (header)
                    own = at + 200;
                if (number >= 80)
                    CHECK((header && Line::lead(*header, at) == 0));
            }
        }
    }
}

TEST_CASE("a network that catches up slowly, or with breaks, leaves less than 100 ms of delay") {
    for (const bool marker : {false, true}) {
        for (const int pace : {4, 8, 12, 15, 16}) {
            for (const int pause : {0, 30, 60, 80, 120, 180}) {
                CAPTURE(marker);
                CAPTURE(pace);
                CAPTURE(pause);
                Line line;
                line.packet(1);
                line.fill(220, 1000);
                for (int number = 2, at = 1000, own = 1000; number < 600; ++number) {
                    at = std::max(at + pace + (number == 12 ? pause : 0), 20 * number);
                    for (; own <= at; own += 20)
                        line.sendOwn(own);
                    const auto header = line.pass(at, number, SAMPLES * static_cast<uint32_t>(number), false, SAMPLES,
                                                  marker && number == 2);
                    if (header)
                        own = at + 200;
                    if (number >= 400)
                        CHECK((header && Line::lead(*header, at) >= 0 && Line::lead(*header, at) < 100));
                }
            }
        }
    }
}

TEST_CASE("a clock that is on trial ends with its sender") {
    Line line;
    line.packet(1);
    line.fill(220, 1000);
    const int sequence = line.sent.sequence;
    check(line.pass(1000, 2, 2 * SAMPLES, false, SAMPLES, true), sequence + 1, 50000 + 8 * 1000, true);
    line.source = 8;
    check(line.pass(1020, 700, 9000), sequence + 2, 50000 + 8 * 1020, true);
    check(line.pass(1021, 701, 9160), sequence + 3, 50000 + 8 * 1040);
    check(line.pass(1022, 702, 9320), sequence + 4, 50000 + 8 * 1060);
}

TEST_CASE("timestamps do not creep ahead of time with the talkspurts of other senders") {
    Line line;
    line.packet(1);
    for (int spurt = 0; spurt < 500; ++spurt) {
        const int begin = 1000 * spurt + 517;
        line.fill(1000 * spurt + 260, begin);
        line.source = static_cast<uint32_t>(spurt);
        for (int at = begin; at < begin + 500; at += 20) {
            const auto header = line.pass(at, at / 20, static_cast<uint32_t>(8 * at + 1000 * spurt));
            REQUIRE(header);
            const auto time = static_cast<int>(header->timestamp - 50000) / 8;
            CHECK((time >= at && time <= at + 20));
        }
    }
}

TEST_CASE("timestamps do not creep ahead of time with a network that becomes slower and faster again") {
    Line line;
    line.packet(1);
    for (int spurt = 0; spurt < 500; ++spurt) {
        const int delay = spurt % 2 ? 60 : 0, begin = 1000 * spurt + 517;
        bool passed = false;
        for (int at = 1000 * spurt + 270; at < begin + delay + 500; at += 20) {
            const int number = (at - delay) / 20;
            if (at < begin + delay) {
                line.sendOwn(at);
                continue;
            }
            const auto header = line.pass(at, number, 8 * static_cast<uint32_t>(at - delay));
            CHECK((header || (!passed && at < begin + delay + 60)));
            passed = header.has_value();
            if (!header)
                line.sendOwn(at);
            else
                CHECK(static_cast<int>(header->timestamp - 50000) / 8 <= at - delay + 100);
        }
    }
}

TEST_CASE("the silence after a clock that is slower than ours has the timestamp of its time") {
    Line line;
    for (int number = 1; number < 50000; ++number)
        line.pass(20 * number + number / 100, number, SAMPLES * static_cast<uint32_t>(number));
    const int end = 20 * 49999 + 499;
    line.sendOwn(end + 200);
    CHECK(line.sent.timestamp <= 50000 + 8 * (20 * 49999 + 201));
}

TEST_CASE("a press that begins in a time that was covered passes, and begins now") {
    Line line;
    line.packet(1);
    line.fill(220, 620);
    check(line.pass(620, 2, 2 * SAMPLES, true, 160, true), 1022, 50000 + 8 * 620, true);
    check(line.pass(620, 3, 2 * SAMPLES, true, 320), 1023, 50000 + 8 * 620);
    CHECK(!line.pass(621, 4, 4 * SAMPLES));
    check(line.packet(32), 1024, 50000 + 8 * 640, true);
}

TEST_CASE("time goes on after a long press") {
    Line line;
    line.packet(1);
    for (int number = 2; number < 252; ++number)
        line.pass(20 * number, number, 2 * SAMPLES, true, static_cast<uint32_t>(number - 1) * SAMPLES, number == 2);
    line.sendOwn(20 * 251 + 200);
    CHECK(line.sent.timestamp == 50000 + 8 * (20 * 251 + 200));
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

TEST_CASE("the rest of a press does not begin another one in another stream") {
    Line line;
    line.packet(1);
    line.pass(40, 2, 2 * SAMPLES, true, 160, true);
    line.relayed = line.relayed.toOtherStream();
    line.sent = SentPacket{77, 9000, SAMPLES, line.begin + milliseconds(40)};
    CHECK(!line.pass(60, 3, 2 * SAMPLES, true, 320));
    check(line.packet(4), 78, 9000 + 8 * 40, true);
    CHECK(!line.pass(85, 5, 2 * SAMPLES, true, 480));
    check(line.pass(100, 6, 5 * SAMPLES, true, 160, true), 80, 9000 + 8 * 60, true);
    check(line.pass(120, 7, 5 * SAMPLES, true, 320), 81, 9000 + 8 * 60);
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
            const bool marker = random() % 10 == 0;
            const auto header =
                line.pass(at, sequence, static_cast<uint32_t>(sequence) * SAMPLES, false, SAMPLES, marker);
            if (!header)
                continue;
            CHECK(used.insert(header->sequence).second);
            if (!header->isLate)
                CHECK(static_cast<int32_t>(header->timestamp - before) >= 0);
        }
    }
}
