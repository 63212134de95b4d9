#include "ticking_queue.hpp"

#include <random>
#include <thread>

using namespace sipbridge;

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

TEST_CASE("a muted queue drops the audio both ways, and counts the agent's as played") {
    Queue q;
    const std::string heard(2 * FRAME_BYTES, '\x55');
    std::string taken;
    long long played = 0;
    q.write(2);
    REQUIRE(q.queue.hear(heard, q.at(0)));
    q.queue.mute(true);
    q.write(3);
    CHECK(q.queue.position().played == 5 * static_cast<long long>(FRAME_BYTES));
    CHECK(q.queue.unheard() == 0);
    CHECK_FALSE(q.queue.hear(heard, q.at(0)));
    CHECK_FALSE(q.queue.take(&taken, &played, q.at(0)));
    CHECK(q.ticks() == "_...");
    q.queue.mute(false);
    CHECK(q.queue.hear(heard, q.at(0)));
    CHECK(q.queue.take(&taken, &played, q.at(0)));
    CHECK(played == 5 * static_cast<long long>(FRAME_BYTES));
    q.write(1);
    CHECK(q.queue.position().written == 6 * static_cast<long long>(FRAME_BYTES));
    CHECK(q.queue.position().played == 5 * static_cast<long long>(FRAME_BYTES));
}
