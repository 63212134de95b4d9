#include "audio_queue.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <thread>

using namespace sipbridge;

namespace {

const uint8_t LOUD = 0x80;  // the inverted low seven bits: full scale

/** A queue with the clock that sends from it. Times are in milliseconds since the clock began. */
struct Queue {
    AudioCounters counters;
    AudioQueue queue;
    Clock::time_point begin{std::chrono::hours(1)};
    int now = 0;
    unsigned skipped = 0;  // in the last turn
    size_t packetBytes = FRAME_BYTES;
    std::vector<uint8_t> sent;

    explicit Queue(size_t frames = 500) : queue(frames * FRAME_BYTES, &counters) {}

    Clock::time_point at(int milliseconds) const { return begin + std::chrono::milliseconds(milliseconds); }

    long long write(size_t frames, uint8_t byte = LOUD) {
        const std::vector<uint8_t> bytes(frames * FRAME_BYTES, byte);
        return queue.write(bytes.data(), bytes.size(), at(now));
    }

    /** Write audio in real time, in pieces of this length, and send; return the audio written. */
    std::vector<uint8_t> speak(int pieces, int pieceMilliseconds) {
        std::vector<uint8_t> spoken;
        const int from = now;
        for (int piece = 0; piece < pieces || now < from + pieces * pieceMilliseconds + 200;) {
            if (piece < pieces && now >= from + piece * pieceMilliseconds) {
                const std::vector<uint8_t> bytes(static_cast<size_t>(8 * pieceMilliseconds),
                                                 static_cast<uint8_t>(0x80 + ++piece));
                queue.write(bytes.data(), bytes.size(), at(now));
                spoken.insert(spoken.end(), bytes.begin(), bytes.end());
            }
            tick();
        }
        return spoken;
    }

    /** Tick, and then let 5 ms pass: return the first byte of the frame that is sent, -1 for silence, -2 for nothing. */
    int tick() {
        uint8_t packet[MAX_PACKET_BYTES];
        Pace pace;
        const Turn turn = queue.next(at(now), packet, packetBytes, &pace);
        skipped = pace.skipped;
        CHECK((turn == Turn::Nothing || pace.due == at(now + static_cast<int>(packetBytes / 8))));
        now += 5;
        if (turn == Turn::Speech)
            sent.insert(sent.end(), packet, packet + packetBytes);
        return turn == Turn::Speech ? packet[0] : turn == Turn::Silence ? -1 : -2;
    }

    /** The packets of the next ticks: `.` for none, `_` for silence, `#` for speech. */
    std::string ticks(int count = 4) {
        std::string sent;
        for (int i = 0; i < count; ++i) {
            const int byte = tick();
            sent += byte == -2 ? '.' : byte == -1 ? '_' : '#';
        }
        return sent;
    }

    /** Send until the agent's audio is over; return the number of frames. */
    long readUntilEmpty() {
        const std::string sent = ticks(static_cast<int>(4 * (queue.unheard() / 160) + 4000));
        return std::count(sent.begin(), sent.end(), '#');
    }

    std::string hear(size_t bytes, uint8_t byte = LOUD) {
        queue.hear(std::string(bytes, static_cast<char>(byte)), at(now));
        return take();
    }

    std::string take() {
        std::string heard;
        return queue.take(&heard, &played, at(now)) ? heard : "";
    }

    long long played = 0;
};

}  // namespace

TEST_CASE("audio is played in the order in which it was written, across the end of the ring and its growth") {
    Queue q;
    std::mt19937 random(4733);
    std::vector<uint8_t> sent, left;
    for (int turn = 0; turn < 16000; ++turn) {
        std::vector<uint8_t> bytes(random() % 125);
        for (uint8_t &byte : bytes)
            byte = static_cast<uint8_t>(random());
        if (sent.size() - left.size() < 30000) {
            q.queue.write(bytes.data(), bytes.size(), q.at(q.now));
            sent.insert(sent.end(), bytes.begin(), bytes.end());
        }
        const size_t waiting = sent.size() - left.size();
        uint8_t frame[FRAME_BYTES];
        Pace pace;
        if (waiting >= FRAME_BYTES && q.queue.next(q.at(q.now), frame, FRAME_BYTES, &pace) == Turn::Speech)
            left.insert(left.end(), frame, frame + FRAME_BYTES);
        q.now += 5;
        REQUIRE(left.size() <= sent.size());
    }
    REQUIRE(left.size() > 100000);
    CHECK(std::equal(left.begin(), left.end(), sent.begin()));
    CHECK(q.counters.overruns == 0);
}

TEST_CASE("the last part of a frame is filled up with silence") {
    Queue q;
    const std::vector<uint8_t> bytes(2 * FRAME_BYTES + 10, LOUD);
    q.queue.write(bytes.data(), bytes.size(), q.at(0));
    uint8_t frame[FRAME_BYTES];
    Pace pace;
    for (int i : {0, 1, 3})  // the last part waits for its rest
        REQUIRE(q.queue.next(q.at(20 * i), frame, FRAME_BYTES, &pace) == Turn::Speech);
    CHECK(frame[9] == LOUD);
    CHECK(std::all_of(frame + 10, frame + FRAME_BYTES, [](uint8_t byte) { return byte == SILENCE; }));
}

TEST_CASE("a write over the limit keeps what fits and counts one overrun") {
    Queue q(3);
    CHECK(q.write(2) == 2 * static_cast<long long>(FRAME_BYTES));
    CHECK(q.write(2) == 3 * static_cast<long long>(FRAME_BYTES));
    CHECK(q.counters.overruns == 1);
    CHECK(q.write(1) == 3 * static_cast<long long>(FRAME_BYTES));
    CHECK(q.counters.overruns == 2);
}

TEST_CASE("an empty write changes nothing") {
    Queue q;
    CHECK(q.queue.write(nullptr, 0, q.at(0)) == 0);
    CHECK(q.ticks() == "_...");
}

TEST_CASE("silence is sent every 20 ms while the agent says nothing") {
    Queue q;
    CHECK(q.ticks(12) == "_..._..._...");
    CHECK(q.skipped == 0);
}

TEST_CASE("the first frame of an agent in real time waits, and the next ones are sent every 20 ms from then on") {
    for (const int phase : {0, 5, 10, 15}) {
        Queue q;
        q.ticks(4);
        q.ticks(phase / 5);
        std::string sent;
        for (int frame = 0; frame < 3; ++frame) {
            q.write(1);
            sent += q.ticks();
        }
        const size_t first = sent.find('#');
        REQUIRE(first != std::string::npos);
        CHECK(first == 3);  // 15 ms: the least delay, at the next tick
        CHECK(sent.substr(first) == "#...#...#");
    }
}

TEST_CASE("the packet after a wait states how long it was") {
    Queue q;
    q.ticks(4);
    q.ticks(2);  // silence was due and sent at 20
    q.write(1);
    CHECK(q.ticks(3) == "...");  // 30 to 40: the next packet was due at 40
    CHECK(q.tick() == LOUD);     // 45
    CHECK(q.skipped == 5 * 8);
    q.write(1);
    CHECK(q.ticks(4) == "...#");
    CHECK(q.skipped == 0);
}

TEST_CASE("audio that is sent ahead is played at once") {
    Queue q;
    q.ticks(1);
    q.now = 20;
    q.write(2);
    CHECK(q.ticks(8) == "#...#...");
}

TEST_CASE("after an underrun the next frame is sent at once") {
    for (const int late : {5, 10, 20, 35, 55}) {
        Queue q;
        q.write(2);
        CHECK(q.ticks(8) == "#...#...");
        const std::string waited = q.ticks(late / 5);
        CHECK(waited == std::string(static_cast<size_t>(late / 5), '.'));
        q.write(1);
        CHECK(q.tick() == LOUD);
        CHECK(q.skipped == static_cast<unsigned>(8 * late));
        CHECK(q.counters.underruns == 1);
        const auto learned = std::min(MOST_DELAY, LEAST_DELAY + std::chrono::milliseconds(late));
        CHECK(q.queue.delay() <= learned);
        CHECK(q.queue.delay() >= learned - 3 * std::chrono::microseconds(FRAME_TIME) / DELAY_DECAY);
    }
}

TEST_CASE("no silence is sent in the middle of speech for pieces and packets of any length") {
    for (const int piece : {10, 15, 20, 30, 40, 50, 65, 100})
        for (const size_t packet : {10u, 20u, 30u, 40u, 60u}) {
            CAPTURE(piece);
            CAPTURE(packet);
            Queue q;
            q.packetBytes = 8 * packet;
            const std::vector<uint8_t> spoken = q.speak(40, piece);
            REQUIRE(q.sent.size() >= spoken.size());
            CHECK(q.sent.size() < spoken.size() + q.packetBytes);
            CHECK(std::equal(spoken.begin(), spoken.end(), q.sent.begin()));
            CHECK(q.counters.underruns <= static_cast<long long>(packet / 5));  // each makes it 5 ms later
        }
}

TEST_CASE("a packet has the length that the caller wants") {
    for (const size_t packet : {10u, 30u, 40u, 60u}) {
        Queue q;
        q.packetBytes = 8 * packet;
        const size_t ticks = packet / 5;
        const std::string silence = "_" + std::string(ticks - 1, '.');
        CHECK(q.ticks(static_cast<int>(2 * ticks)) == silence + silence);
        q.write(12);  // 240 ms
        const std::string sent = q.ticks(static_cast<int>(240 / 5));
        CHECK(std::count(sent.begin(), sent.end(), '#') == static_cast<long>(240 / packet));
        CHECK(q.sent.size() == 12 * FRAME_BYTES);
    }
}

TEST_CASE("the delay absorbs jitter of up to 60 ms after a few sentences, and falls again") {
    Queue q;
    std::mt19937 random(60);
    const auto speak = [&](int seconds, int jitter) {
        q.queue.clear();
        q.ticks(40);
        const long long before = q.counters.underruns;
        int frame = 0, arrives = q.now + static_cast<int>(random() % static_cast<unsigned>(jitter + 1));
        for (const int from = q.now; q.now < from + 1000 * seconds; q.tick())
            while (arrives <= q.now) {
                q.write(1);
                const int punctual = from + 20 * ++frame;
                arrives = std::max(arrives, punctual + static_cast<int>(random() % static_cast<unsigned>(jitter + 1)));
            }
        return q.counters.underruns - before;
    };
    for (int sentence = 0; sentence < 20; ++sentence)
        speak(2, 60);
    long long underruns = 0;
    for (int sentence = 0; sentence < 20; ++sentence)
        underruns += speak(2, 60);
    CHECK(underruns <= 10);
    for (int sentence = 0; sentence < 30; ++sentence)
        speak(2, 0);
    CHECK(q.queue.delay() == LEAST_DELAY);
}

TEST_CASE("the end of speech is silent for 60 ms without a packet, and then sends silence") {
    Queue q;
    q.write(2);
    CHECK(q.ticks(24) == "#...#..............._...");
}

TEST_CASE("clear drops the queued audio, and counts it as played") {
    Queue q;
    const long long written = q.write(10);
    q.tick();
    CHECK(q.queue.unheard() == 9 * static_cast<long long>(FRAME_BYTES));
    CHECK(q.queue.clear() == written);
    CHECK(q.queue.unheard() == 0);
    CHECK(q.ticks() == "..._");
    // Audio after that begins like the first audio.
    q.now = 40;
    q.write(2);
    CHECK(q.tick() == LOUD);
}

TEST_CASE("silence at the end is not counted as unheard") {
    Queue q;
    q.write(2);
    q.write(5, SILENCE);
    CHECK(q.queue.unheard() == 2 * static_cast<long long>(FRAME_BYTES));
}

TEST_CASE("a gap in speech is an underrun, and the end of speech is not") {
    Queue q;
    q.write(2);
    q.ticks(8 + 18);  // 90 ms without audio; silence is sent again since 60 ms
    q.write(2);
    CHECK(q.ticks() == "..#.");
    CHECK(q.counters.underruns == 1);
    CHECK(q.queue.delay() == LEAST_DELAY);
    q.ticks(8 + 24);
    q.write(2);
    q.ticks(8);
    CHECK(q.counters.underruns == 1);
}

TEST_CASE("a standing queue loses frames of silence until two frames are left") {
    Queue q;
    q.write(10, SILENCE);
    for (int turn = 0; turn < 3 * STANDING_TURNS; ++turn) {
        q.ticks();
        q.write(1, SILENCE);
    }
    CHECK(q.readUntilEmpty() <= 3);
}

TEST_CASE("a standing queue loses no speech") {
    Queue q;
    q.write(10);
    long read = 0;
    for (int turn = 0; turn < 3 * STANDING_TURNS; ++turn) {
        read += q.ticks().find('#') != std::string::npos;
        q.write(1);
    }
    CHECK(read + q.readUntilEmpty() == 10 + 3 * STANDING_TURNS);
}

TEST_CASE("an agent that sends ahead of time loses no audio, not even silence") {
    Queue q;
    q.write(400, SILENCE);
    CHECK(q.readUntilEmpty() == 400);
}

TEST_CASE("the caller's audio is taken in whole frames") {
    Queue q;
    CHECK(q.hear(100).empty());
    CHECK(q.hear(230).size() == 320);
    CHECK(q.hear(149).empty());
    CHECK(q.hear(1).size() == 160);
    CHECK(q.played == 0);
    CHECK(q.take().empty());
    CHECK(q.counters.late == 0);
}

TEST_CASE("audio of the caller is reported once until it is taken") {
    Queue q;
    const std::string frame(FRAME_BYTES, 'x');
    CHECK_FALSE(q.queue.hear("x", q.at(0)));
    CHECK(q.queue.hear(frame, q.at(0)));
    CHECK_FALSE(q.queue.hear(frame, q.at(0)));
    q.take();
    CHECK(q.queue.hear(frame, q.at(0)));
}

TEST_CASE("frames that the event loop takes over 20 ms later are counted as late") {
    Queue q;
    q.queue.hear(std::string(2 * FRAME_BYTES, 'x'), q.at(0));
    q.now = 25;
    CHECK(q.take().size() == 320);
    CHECK(q.counters.late == 2);
}

TEST_CASE("the latest second of a caller is kept if the event loop is late") {
    Queue q;
    for (int turn = 0; turn < 60; ++turn)
        q.queue.hear(std::string(FRAME_BYTES, static_cast<char>(turn)), q.at(20 * turn));
    const std::string heard = q.take();
    CHECK(heard.size() == MAX_HEARD_BYTES);
    CHECK(heard.front() == 10);
    CHECK(heard.back() == 59);
    CHECK(q.counters.overruns == 10);
}

TEST_CASE("the clock, the event loop and a clear at the same time keep the counts right") {
    Queue q;
    std::atomic<bool> running{true};
    std::thread clock([&] {
        uint8_t frame[FRAME_BYTES];
        Pace pace;
        while (running) {
            q.queue.next(Clock::now(), frame, FRAME_BYTES, &pace);
            q.queue.hear(std::string(FRAME_BYTES, static_cast<char>(LOUD)), Clock::now());
        }
    });
    const std::vector<uint8_t> bytes(FRAME_BYTES, LOUD);
    long long written = 0, cleared = 0;
    for (int turn = 0; turn < 20000; ++turn) {
        written = q.queue.write(bytes.data(), bytes.size(), Clock::now());
        std::string heard;
        long long played = 0;
        if (q.queue.take(&heard, &played, Clock::now())) {
            REQUIRE(heard.size() % FRAME_BYTES == 0);
            REQUIRE(played <= written);
            REQUIRE(played >= cleared);
        }
        if (turn % 100 == 0)
            cleared = q.queue.clear();
    }
    running = false;
    clock.join();
    CHECK(q.queue.clear() == written);
}
