#include "received_audio.hpp"

#include "audio_queue.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <set>

using namespace sipbridge;
using std::chrono::milliseconds;

namespace {

std::string audio(char letter, size_t milliseconds = 20) { return std::string(8 * milliseconds, letter); }
std::string silence(size_t milliseconds = 20) { return audio(static_cast<char>(SILENCE), milliseconds); }

/** A far end, and the listener's side of its audio. Times are in milliseconds since the stream began. */
struct Line {
    Clock::time_point begin{std::chrono::hours(1)};
    ReceivedAudio received{begin};
    uint32_t source = 7;

    std::string receive(int at, int sequence, long long timestamp, const std::string &payload,
                        RtpPacket::Payload kind = RtpPacket::Mulaw) {
        std::string out;
        const RtpPacket packet{source,
                               static_cast<uint16_t>(sequence),
                               static_cast<uint32_t>(timestamp),
                               kind,
                               reinterpret_cast<const uint8_t *>(payload.data()),
                               payload.size()};
        received.receive(packet, begin + milliseconds(at), &out);
        return out;
    }

    /** Receive the packet with this number of a far end that sends 20 ms each, on time unless `at` says otherwise. */
    std::string packet(int number, int at = -1) {
        return receive(at < 0 ? 20 * number : at, number, 160LL * number, audio(static_cast<char>('a' + number % 26)));
    }

    std::string tick(int at) {
        std::string out;
        received.tick(begin + milliseconds(at), &out);
        return out;
    }

    std::string ticks(int from, int to) {
        std::string out;
        for (int at = from; at <= to; at += 5)
            out += tick(at);
        return out;
    }
};

}  // namespace

TEST_CASE("packets in order pass when they arrive") {
    Line line;
    for (int number = 0; number < 200; ++number) {
        CHECK(line.packet(number) == audio(static_cast<char>('a' + number % 26)));
        CHECK(line.ticks(20 * number, 20 * number + 15).empty());
    }
}

TEST_CASE("sequence numbers and timestamps wrap around") {
    Line line;
    const long long timestamp = 0xffffffffLL - 320;
    for (int number = 0; number < 10; ++number)
        CHECK(line.receive(20 * number, 65530 + number, timestamp + 160 * number, audio('x')) == audio('x'));
}

TEST_CASE("a packet that was overtaken passes in its place") {
    Line line;
    line.packet(0);
    CHECK(line.packet(2, 41).empty());
    CHECK(line.ticks(45, 50).empty());
    CHECK(line.packet(1, 52) == audio('b') + audio('c'));
    CHECK(line.packet(3) == audio('d'));
}

TEST_CASE("a lost packet becomes silence when it is 40 ms overdue, and the next ones pass") {
    Line line;
    line.packet(0);
    CHECK(line.packet(2).empty());
    CHECK(line.ticks(40, 55).empty());
    CHECK(line.tick(60) == silence() + audio('c'));
    CHECK(line.packet(1, 61).empty());
    CHECK(line.packet(3, 62) == audio('d'));
}

TEST_CASE("two gaps are given up one after the other") {
    Line line;
    line.packet(0);
    CHECK(line.packet(2).empty());
    CHECK(line.packet(4, 59).empty());
    CHECK(line.tick(60) == silence() + audio('c'));
    CHECK(line.ticks(65, 95).empty());
    CHECK(line.tick(100) == silence() + audio('e'));
}

TEST_CASE("a gap that is over when its end arrives does not wait") {
    Line line;
    line.packet(0);
    CHECK(line.ticks(20, 200) == silence(160));  // 60 to 200
    CHECK(line.packet(11, 220).empty());
    CHECK(line.tick(220) == silence(40) + audio('l'));
    CHECK(line.packet(12) == audio('m'));
}

TEST_CASE("no packet passes twice") {
    Line line;
    line.packet(0);
    CHECK(line.packet(0, 1).empty());
    line.packet(2);
    CHECK(line.packet(2, 41).empty());
    CHECK(line.packet(1, 42) == audio('b') + audio('c'));
    CHECK(line.packet(1, 43).empty());
    CHECK(line.packet(2, 44).empty());
}

TEST_CASE("packets that were delayed together all pass") {
    Line line;
    line.packet(0);
    CHECK(line.ticks(20, 120) == silence(80));
    for (int number = 1; number < 7; ++number)
        CHECK(line.packet(number, 121) == audio(static_cast<char>('a' + number)));
}

TEST_CASE("jitter of 40 ms adds no silence") {
    Line line;
    std::mt19937 random(3550);
    std::string out = line.packet(0);
    int free = 0;
    for (int number = 1; number < 500; ++number) {
        const int at = std::max(free, 20 * number + static_cast<int>(random() % 40));
        for (; free < at; free += 5)
            out += line.tick(free);
        out += line.packet(number, at);
    }
    CHECK(out.size() == 500 * FRAME_BYTES);
}

TEST_CASE("a pause of a sender that suppresses silence has its length") {
    Line line;
    line.packet(0);
    const std::string paused = line.ticks(20, 1000);
    const std::string resumed = line.receive(1000, 1, 8000, audio('b'));
    CHECK(paused + resumed == silence(980) + audio('b'));
}

TEST_CASE("a timestamp that jumps adds no silence") {
    Line line;
    line.packet(0);
    CHECK(line.receive(20, 1, 900000, audio('b')) == audio('b'));
    CHECK(line.receive(40, 2, 900160, audio('c')) == audio('c'));
    CHECK(line.receive(60, 3, 5, audio('d')) == audio('d'));
}

TEST_CASE("another source begins at once, and what waited passes before it") {
    Line line;
    line.packet(0);
    CHECK(line.packet(2).empty());
    line.source = 8;
    CHECK(line.receive(45, 5000, 77, audio('x')) == audio('c') + audio('x'));
    CHECK(line.receive(65, 5001, 237, audio('y')) == audio('y'));
}

TEST_CASE("a sender that restarts its sequence loses nothing, and a stray packet is none") {
    Line line;
    line.packet(0);
    CHECK(line.receive(20, 30000, 1, audio('s')).empty());
    CHECK(line.packet(1, 21) == audio('b'));
    CHECK(line.receive(40, 40000, 1, audio('x')).empty());
    CHECK(line.receive(60, 40001, 161, audio('y')) == audio('x') + audio('y'));
    CHECK(line.receive(80, 40002, 321, audio('z')) == audio('z'));
}

TEST_CASE("packets of 10, 30, 40 and 60 ms pass whole") {
    for (const size_t length : {10u, 30u, 40u, 60u}) {
        Line line;
        int at = 0;
        for (int number = 0; number < 50; ++number, at += static_cast<int>(length)) {
            CHECK(line.receive(at, number, 8LL * at, audio('x', length)) == audio('x', length));
            CHECK(line.ticks(at, at + static_cast<int>(length) - 5).empty());
        }
        // The next one is lost.
        CHECK(line.receive(at + static_cast<int>(length), 51, 8LL * (at + static_cast<int>(length)), audio('y', length))
                  .empty());
        const std::string after = line.ticks(at + static_cast<int>(length), at + 200);
        CHECK(after.substr(0, 16 * length) == silence(length) + audio('y', length));
    }
}

TEST_CASE("the time of a lost packet or a pause is kept, whatever part of it has passed as silence before") {
    for (const int length : {10, 20, 30, 40, 60})
        for (const int packets : {2, 3, 10, 21}) {
            CAPTURE(length);
            CAPTURE(packets);
            Line line;
            const int next = packets * length;
            std::string out = line.receive(0, 0, 0, audio('x', static_cast<size_t>(length)));
            out += line.ticks(5, next - 5);
            // The one before is lost, or there was none because of the pause.
            out += line.receive(next, 2, 8LL * next, audio('y', static_cast<size_t>(length)));
            out += line.ticks(next, next + 40);
            CHECK(out.size() == 8 * static_cast<size_t>(next + length));
        }
}

TEST_CASE("DTMF events and comfort noise have no audio, and leave no gap") {
    Line line;
    line.packet(0);
    CHECK(line.receive(20, 1, 160, "1234", RtpPacket::NoAudio).empty());
    CHECK(line.receive(40, 2, 160, "1234", RtpPacket::NoAudio).empty());
    CHECK(line.receive(60, 3, 480, audio('d')) == silence(40) + audio('d'));
}

TEST_CASE("an event that is overtaken by audio holds it up, and releases it") {
    Line line;
    line.packet(0);
    CHECK(line.packet(2, 40).empty());
    CHECK(line.receive(41, 1, 160, "1234", RtpPacket::NoAudio) == silence() + audio('c'));
}

TEST_CASE("an empty packet leaves no gap") {
    Line line;
    line.packet(0);
    CHECK(line.receive(20, 1, 160, "").empty());
    CHECK(line.packet(2) == silence() + audio('c'));
}

TEST_CASE("the listener's clock runs before the first packet, and during silence") {
    Line line;
    CHECK(line.ticks(0, 1000) == silence(1020));
    CHECK(line.receive(1003, 9, 9, audio('a')) == audio('a'));
    CHECK(line.ticks(1005, 2060) == silence(1000));
}

TEST_CASE("after a clock that stood still the listener gets no minutes of silence") {
    Line line;
    line.packet(0);
    CHECK(line.tick(60000) == silence());
}

TEST_CASE("A-law becomes mu-law") {
    Line line;
    const std::string loudest = {'\xaa', '\x2a', '\xd5', '\x55'};
    CHECK(line.receive(0, 0, 0, loudest, RtpPacket::Alaw) == std::string{'\x80', '\x00', '\xfe', '\x7e'});
}

TEST_CASE("every packet passes at most once and in order, whatever the network does") {
    std::mt19937 random(1889);
    for (int run = 0; run < 200; ++run) {
        Line line;
        std::vector<std::pair<int, int>> arrivals;  // time, number
        std::set<int> punctual;
        for (int number = 0; number < 120; ++number) {
            if (random() % 20 == 0)
                continue;
            const int late = random() % 4 == 0 ? static_cast<int>(random() % 90) : 0;
            if (late < 20)
                punctual.insert(number);
            arrivals.emplace_back(20 * number + late, number);
            if (random() % 30 == 0)
                arrivals.emplace_back(20 * number + late + static_cast<int>(random() % 100), number);
        }
        std::sort(arrivals.begin(), arrivals.end());
        std::string out;
        int now = 0;
        for (const auto &[at, number] : arrivals) {
            for (; now <= at; now += 5)
                out += line.tick(now);
            std::string text = "<" + std::to_string(1000 + number) + ">";
            text.resize(160, '.');
            out += line.receive(at, number, 160LL * number, text);
        }
        out += line.ticks(now, now + 100);
        REQUIRE(out.size() % FRAME_BYTES == 0);
        int last = -1;
        for (size_t from = 0; from < out.size(); from += FRAME_BYTES) {
            if (out[from] != '<')
                continue;
            const int number = std::stoi(out.substr(from + 1, 4)) - 1000;
            REQUIRE(number > last);
            last = number;
            punctual.erase(number);
        }
        CHECK(punctual.empty());
    }
}
