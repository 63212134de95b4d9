#include "audio_streams.hpp"
#include "agent_sockets.hpp"
#include "origin.hpp"

#include <algorithm>
#include <unordered_map>

#include <sys/eventfd.h>
#include <unistd.h>

namespace sipbridge {

namespace {

AudioCounters counters;
std::mutex streamsMutex;
std::unordered_map<int, std::shared_ptr<AudioQueue>> streams;
int lastStream = 0;
int turnDescriptor = -1;
// The streams that have audio for the event loop.
std::mutex heardMutex;
std::vector<int> heard;

}  // namespace

std::shared_ptr<AudioQueue> audioQueue(int number) {
    std::lock_guard<std::mutex> lock(streamsMutex);
    const auto found = streams.find(number);
    return found == streams.end() ? nullptr : found->second;
}

AudioCounters &audioCounters() { return counters; }

void hearAudio(int number, AudioQueue &queue, const std::string &audio) {
    if (!queue.hear(audio, Clock::now()))
        return;
    std::lock_guard<std::mutex> lock(heardMutex);
    heard.push_back(number);
}

void notifyTurn() {
    {
        std::lock_guard<std::mutex> lock(heardMutex);
        if (heard.empty() && !socketsReady())
            return;
    }
    const uint64_t one = 1;
    // This fails only if the counter is at its maximum, and then the descriptor is readable already.
    if (::write(turnDescriptor, &one, sizeof(one)) < 0)
        return;
}

int audioDescriptor() {
    if (turnDescriptor < 0)
        turnDescriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return turnDescriptor;
}

std::vector<AudioTurn> takeAudio() {
    uint64_t turns;
    if (::read(turnDescriptor, &turns, sizeof(turns)) < 0)
        turns = 0;
    std::vector<int> numbers;
    {
        std::lock_guard<std::mutex> lock(heardMutex);
        numbers.swap(heard);
    }
    const Clock::time_point now = Clock::now();
    std::vector<AudioTurn> taken;
    taken.reserve(numbers.size());
    for (const int number : numbers) {
        AudioTurn turn{number, "", 0, ""};
        const auto queue = audioQueue(number);
        if (queue && queue->take(&turn.heard, &turn.played, now) && !sendToSocket(number, &turn.heard, &turn.unsent))
            taken.push_back(std::move(turn));
    }
    return taken;
}

AudioCounts audioCounts() { return AudioCounts{counters.underruns, counters.overruns, counters.late, strayPackets()}; }

long long audioDelay() {
    std::lock_guard<std::mutex> lock(streamsMutex);
    long long longest = 0;
    for (const auto &each : streams)
        longest = std::max<long long>(longest, std::chrono::microseconds(each.second->delay()).count());
    return longest;
}

int audioOpen(int maxBytes) {
    std::lock_guard<std::mutex> lock(streamsMutex);
    streams[++lastStream] = std::make_shared<AudioQueue>(static_cast<size_t>(maxBytes), &counters);
    return lastStream;
}

long long audioWrite(int number, const std::string &audio) {
    const auto stream = audioQueue(number);
    return stream ? stream->write(reinterpret_cast<const uint8_t *>(audio.data()), audio.size(), Clock::now()) : 0;
}

AudioPosition audioPosition(int number) {
    const auto stream = audioQueue(number);
    return stream ? stream->position() : AudioPosition();
}

void audioConnect(int number, int descriptor, const std::string &streamSid) {
    if (const auto stream = audioQueue(number))
        openSocket(number, stream, descriptor, streamSid);
}

long long audioClear(int number) {
    const auto stream = audioQueue(number);
    return stream ? stream->clear() : 0;
}

void audioMute(int number, bool muted) {
    if (const auto stream = audioQueue(number))
        stream->mute(muted);
}

long long audioUnheard(int number) {
    const auto stream = audioQueue(number);
    return stream ? stream->unheard() : 0;
}

void audioClose(int number) {
    std::lock_guard<std::mutex> lock(streamsMutex);
    streams.erase(number);
}

}  // namespace sipbridge
