#include "audio_queue.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <thread>

using namespace sipbridge;

namespace {

const uint8_t LOUD = 0x80;  // the inverted low seven bits: full scale

struct Queue {
    AudioCounters counters;
    AudioQueue queue;

    explicit Queue(size_t frames = 500) : queue(frames * FRAME_BYTES, &counters) {}

    long long write(size_t frames, uint8_t byte = LOUD) {
        const std::vector<uint8_t> bytes(frames * FRAME_BYTES, byte);
        return queue.write(bytes.data(), bytes.size());
    }

    /** The first byte of the next frame; -1 if there is none. */
    int read() {
        uint8_t frame[FRAME_BYTES];
        return queue.read(frame) ? frame[0] : -1;
    }

    int readUntilEmpty() {
        int frames = 0;
        for (int silent = 0; silent < 2; ++frames)
            silent = read() < 0 ? silent + 1 : 0;
        return frames - 2;
    }
};

}  // namespace

TEST_CASE("audio is played in the order in which it was written, across the end of the ring and its growth") {
    Queue q;
    std::mt19937 random(4733);
    std::vector<uint8_t> sent, left;
    for (int turn = 0; turn < 4000; ++turn) {
        std::vector<uint8_t> bytes(random() % 500);
        for (uint8_t &byte : bytes)
            byte = static_cast<uint8_t>(random());
        if (sent.size() - left.size() < 30000) {
            q.queue.write(bytes.data(), bytes.size());
            sent.insert(sent.end(), bytes.begin(), bytes.end());
        }
        const size_t waiting = sent.size() - left.size();
        uint8_t frame[FRAME_BYTES];
        if (waiting >= FRAME_BYTES && q.queue.read(frame))
            left.insert(left.end(), frame, frame + FRAME_BYTES);
        REQUIRE(left.size() <= sent.size());
    }
    REQUIRE(left.size() > 100000);
    CHECK(std::equal(left.begin(), left.end(), sent.begin()));
    CHECK(q.counters.overruns == 0);
}

TEST_CASE("the last part of a frame is filled up with silence") {
    Queue q;
    const std::vector<uint8_t> bytes(2 * FRAME_BYTES + 10, LOUD);
    q.queue.write(bytes.data(), bytes.size());
    uint8_t frame[FRAME_BYTES];
    for (int i = 0; i < 3; ++i)
        REQUIRE(q.queue.read(frame));
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
    CHECK(q.queue.write(nullptr, 0) == 0);
    CHECK(q.read() == -1);
}

TEST_CASE("a single frame waits one turn for the next frame of an agent in real time") {
    Queue q;
    q.write(1);
    CHECK(q.read() == -1);
    CHECK(q.read() == LOUD);
    CHECK(q.read() == -1);
}

TEST_CASE("two frames are played at once") {
    Queue q;
    q.write(2);
    CHECK(q.read() == LOUD);
    CHECK(q.read() == LOUD);
}

TEST_CASE("clear drops the queued audio, and counts it as played") {
    Queue q;
    const long long written = q.write(10);
    q.read();
    CHECK(q.queue.unheard() == 9 * static_cast<long long>(FRAME_BYTES));
    CHECK(q.queue.clear() == written);
    CHECK(q.queue.unheard() == 0);
    CHECK(q.read() == -1);
    // Audio after that begins like the first audio.
    q.write(2);
    CHECK(q.read() == LOUD);
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
    q.readUntilEmpty();  // two turns without audio
    q.write(2);
    CHECK(q.counters.underruns == 1);
    q.readUntilEmpty();
    for (int turn = 0; turn < UNDERRUN_TURNS; ++turn)
        q.read();
    q.write(2);
    CHECK(q.counters.underruns == 1);
}

TEST_CASE("a standing queue loses frames of silence until three frames are left") {
    Queue q;
    q.write(10, SILENCE);
    for (int turn = 0; turn < 3 * STANDING_TURNS; ++turn) {
        q.read();
        q.write(1, SILENCE);
    }
    CHECK(q.readUntilEmpty() <= static_cast<int>(FRAMES_IN_HAND) + 1);
}

TEST_CASE("a standing queue loses no speech") {
    Queue q;
    q.write(10);
    int read = 0;
    for (int turn = 0; turn < 3 * STANDING_TURNS; ++turn) {
        read += q.read() >= 0;
        q.write(1);
    }
    CHECK(read + q.readUntilEmpty() == 10 + 3 * STANDING_TURNS);
}

TEST_CASE("an agent that sends ahead of time loses no audio, not even silence") {
    Queue q;
    q.write(400, SILENCE);
    CHECK(q.readUntilEmpty() == 400);
}

TEST_CASE("the caller's audio is taken as a whole, with silence for frames that are missing") {
    Queue q;
    const std::vector<uint8_t> frame(FRAME_BYTES, LOUD);
    q.queue.hear(frame.data());
    q.queue.hear(nullptr);
    std::string heard;
    long long played = -1;
    REQUIRE(q.queue.take(&heard, &played));
    CHECK(heard ==
          std::string(FRAME_BYTES, static_cast<char>(LOUD)) + std::string(FRAME_BYTES, static_cast<char>(SILENCE)));
    CHECK(played == 0);
    CHECK(q.counters.late == 1);
    CHECK_FALSE(q.queue.take(&heard, &played));
}

TEST_CASE("the latest second of a caller is kept if the event loop is late") {
    Queue q;
    for (int turn = 0; turn < 60; ++turn) {
        const std::vector<uint8_t> frame(FRAME_BYTES, static_cast<uint8_t>(turn));
        q.queue.hear(frame.data());
    }
    std::string heard;
    long long played;
    REQUIRE(q.queue.take(&heard, &played));
    CHECK(heard.size() == MAX_HEARD_BYTES);
    CHECK(heard.front() == 10);
    CHECK(heard.back() == 59);
    CHECK(q.counters.overruns == 10);
}

TEST_CASE("the clock, the event loop and a clear at the same time keep the counts right") {
    Queue q;
    std::atomic<bool> running{true};
    std::thread clock([&] {
        const std::vector<uint8_t> said(FRAME_BYTES, LOUD);
        while (running) {
            q.read();
            q.queue.hear(said.data());
        }
    });
    long long written = 0, cleared = 0;
    for (int turn = 0; turn < 20000; ++turn) {
        written = q.write(1);
        std::string heard;
        long long played = 0;
        if (q.queue.take(&heard, &played)) {
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
