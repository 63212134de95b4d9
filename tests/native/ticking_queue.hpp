/*
 * A queue of audio, and the clock that sends from it.
 */
#ifndef SIPBRIDGE_TESTS_TICKING_QUEUE_HPP
#define SIPBRIDGE_TESTS_TICKING_QUEUE_HPP

#include "audio_queue.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace sipbridge {

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
        CHECK(pace.due <= at(now + static_cast<int>(packetBytes / 8)));
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

}  // namespace sipbridge

#endif
