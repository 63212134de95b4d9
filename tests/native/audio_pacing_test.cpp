#include "ticking_queue.hpp"

#include <random>

using namespace sipbridge;

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
        CHECK(first == 1);  // 5 ms: the least delay
        CHECK(sent.substr(first, 9) == "#...#...#");
    }
}

TEST_CASE("speech begins before the next packet of silence is due, and has the timestamp of that packet") {
    Queue q;
    q.ticks(2);
    q.write(1);
    CHECK(q.ticks(2) == ".#");
    CHECK(q.skipped == 0);
    q.write(1);
    CHECK(q.ticks(4) == "...#");
    CHECK(q.skipped == 0);
    q.queue.clear();
    CHECK(q.ticks(8) == "...._...");  // the timestamps are those of time again
}

TEST_CASE("the packet after a wait states how long it was") {
    Queue q;
    q.ticks(4);
    q.ticks(4);
    q.write(1);
    CHECK(q.tick() == -2);    // 20: the next packet is due
    CHECK(q.tick() == LOUD);  // 25
    CHECK(q.skipped == 5 * 8);
    q.write(1);
    CHECK(q.ticks(4) == "...#");
    CHECK(q.skipped == 0);
}

TEST_CASE("audio that is read within a millisecond after a tick is sent at the next one") {
    for (const int microseconds : {0, 900, 1100}) {
        CAPTURE(microseconds);
        Queue q;
        q.ticks(5);
        const std::vector<uint8_t> frame(FRAME_BYTES, LOUD);
        q.queue.write(frame.data(), frame.size(), q.at(20) + std::chrono::microseconds(microseconds));
        CHECK(q.ticks(2) == (microseconds <= 1000 ? "#." : ".#"));
    }
}

TEST_CASE("audio that is sent ahead is played at once") {
    Queue q;
    q.ticks(1);
    q.now = 20;
    q.write(2);
    CHECK(q.ticks(8) == "#...#...");
}

TEST_CASE("a frame that is up to 10 ms late is sent at once, and the next one when it is due") {
    for (const int late : {5, 10}) {
        Queue q;
        q.write(2);
        q.ticks(8 + late / 5);
        q.write(1);
        CHECK(q.tick() == LOUD);
        CHECK(q.skipped == 0);
        q.write(2);
        CHECK(q.ticks(8 - late / 5) == std::string(static_cast<size_t>(3 - late / 5), '.') + "#...#");
        CHECK(q.counters.underruns == 0);
        CHECK(q.queue.delay() == LEAST_DELAY);
    }
}

TEST_CASE("after an underrun the next frame is sent at once") {
    for (const int late : {15, 20, 35, 55}) {
        Queue q;
        q.write(2);
        CHECK(q.ticks(8) == "#...#...");
        const std::string waited = q.ticks(late / 5);
        CHECK(waited == std::string(static_cast<size_t>(late / 5), '.'));
        q.write(1);
        CHECK(q.tick() == LOUD);
        CHECK(q.skipped == static_cast<unsigned>(8 * late));
        CHECK(q.counters.underruns == 1);
        CHECK(q.queue.delay() == std::min(MOST_DELAY, LEAST_DELAY + std::chrono::milliseconds(late)));
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

TEST_CASE("an agent that speaks without a pause keeps no delay of a stall, and loses no audio") {
    for (const int stall : {20, 40, 60}) {
        CAPTURE(stall);
        Queue q;
        std::vector<int> waits;  // of each frame, from its time to when it is sent

        for (int frame = 0; frame < 2000; ++frame) {
            const int time = 20 * frame, from = 1000;
            // The frames of the stall come at its end.
            const int arrives = time >= from && time < from + stall ? from + stall : time;
            while (q.now < arrives)
                if (q.tick() >= 0)
                    waits.push_back(q.now - 5 - 20 * static_cast<int>(waits.size()));
            q.write(1);
        }
        const int longest = *std::max_element(waits.begin(), waits.end());
        CHECK(longest >= stall);
        CHECK(waits[1990] <= 10);
        CHECK(q.queue.delay() == LEAST_DELAY);
        CHECK(q.counters.underruns == 1);
    }
}

TEST_CASE("stalls that come again make the delay fall slowly") {
    Queue q;
    const int seconds = 300, every = 4000, stall = 60;
    for (int frame = 0; frame < 50 * seconds; ++frame) {
        const int time = 20 * frame, since = time % every;
        const int arrives = time >= every && since < stall ? time - since + stall : time;
        while (q.now < arrives)
            q.tick();
        q.write(1);
    }
    CHECK(q.counters.underruns >= 2);
    CHECK(q.counters.underruns <= 12);
}

TEST_CASE("timestamps do not run ahead of time after a stall and a pause") {
    Queue q;
    int stamped = 0;  // milliseconds of timestamps
    const auto tick = [&] {
        if (q.tick() != -2)
            stamped += 20 + static_cast<int>(q.skipped) / 8;
    };
    for (int frame = 0; frame < 1000; ++frame) {
        const bool stalls = frame >= 50 && frame < 52;
        q.write(stalls ? 0 : frame == 52 ? 3 : 1);
        for (int i = 0; i < 4; ++i)
            tick();
    }
    CHECK(stamped >= q.now + 20);  // sent earlier since the stall
    for (int i = 0; i < 100; ++i)
        tick();
    q.write(3);
    for (int i = 0; i < 12; ++i)
        tick();
    CHECK(stamped <= q.now + 20);
}

TEST_CASE("the end of speech is silent for 60 ms without a packet, and then sends silence") {
    Queue q;
    q.write(2);
    CHECK(q.ticks(24) == "#...#..............._...");
}

TEST_CASE("a gap in speech is an underrun, and the end of speech is not") {
    Queue q;
    q.write(2);
    q.ticks(8 + 18);  // 90 ms without audio; silence is sent again since 60 ms
    q.write(2);
    CHECK(q.ticks(8) == "#...#...");
    CHECK(q.counters.underruns == 1);
    CHECK(q.queue.delay() == LEAST_DELAY);
    q.ticks(4 + 24);
    q.write(2);
    q.ticks(8);
    CHECK(q.counters.underruns == 1);
}

TEST_CASE("after an underrun during which silence was sent, the next frame is sent at once") {
    for (int late = 60; late <= 100; late += 5) {
        CAPTURE(late);
        Queue q;
        q.write(2);
        q.ticks(8 + late / 5);
        q.write(1);
        CHECK(q.ticks() == "#...");
        q.write(1);
        CHECK(q.ticks() == "#...");
        CHECK(q.counters.underruns == 1);
    }
}

TEST_CASE("the first packet after a clock that stood still has the timestamp of its time") {
    for (const bool speaks : {false, true}) {
        Queue q;
        q.write(speaks ? 100 : 0);
        q.ticks(40);
        q.now += 500;
        q.tick();
        CHECK(q.skipped == 8 * 500);
        q.ticks(3);
        q.tick();
        CHECK(q.skipped == 0);
    }
}

TEST_CASE("another stream counts no time from before its first packet") {
    Queue q;
    q.ticks(40);
    q.now += 500;
    q.queue.begin();
    CHECK(q.tick() == -1);
    CHECK(q.skipped == 0);
}

TEST_CASE("a standing queue loses frames of silence until two frames are left") {
    Queue q;
    q.write(10, SILENCE);
    for (int turn = 0; turn < 3 * WATCHED_PACKETS; ++turn) {
        q.ticks();
        q.write(1, SILENCE);
    }
    CHECK(q.readUntilEmpty() <= 3);
}

TEST_CASE("a standing queue loses no speech") {
    Queue q;
    q.write(10);
    long read = 0;
    for (int turn = 0; turn < 3 * WATCHED_PACKETS; ++turn) {
        const std::string sent = q.ticks();
        read += std::count(sent.begin(), sent.end(), '#');
        q.write(1);
    }
    CHECK(read + q.readUntilEmpty() == 10 + 3 * WATCHED_PACKETS);
}

TEST_CASE("an agent that sends ahead of time loses no audio, not even silence") {
    Queue q;
    q.write(400, SILENCE);
    CHECK(q.readUntilEmpty() == 400);
}
