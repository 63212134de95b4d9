#include "direct_audio.hpp"
#include "audio_streams.hpp"
#include "call_audio.hpp"
#include "direct_call.hpp"
#include "dtmf.hpp"
#include "relay.hpp"

#include <algorithm>
#include <atomic>

namespace sipbridge {

namespace {

typedef std::vector<std::shared_ptr<DirectCall>> DirectCalls;

std::mutex callsMutex;
DirectCalls calls;
std::atomic<bool> changed{false};

// The media clock has copies of its own, so that the SIP thread never waits for a tick.

/** A call, and the times until which a tick needs to do nothing for it: in one array, as a tick looks at all of them. */
struct Ticking {
    Clock::time_point silenceAt, sendAt;
    std::shared_ptr<DirectCall> direct;
};

std::vector<Ticking> ticking;
DirectCall *bySlot[PJSUA_MAX_CALLS];

/** Remove a call, which uses its socket no more. With the mutex locked. */
void drop(int call) {
    const auto ended = std::partition(calls.begin(), calls.end(), [&](const auto &each) { return each->call != call; });
    std::for_each(ended, calls.end(), [](const auto &each) { each->closeSocket(); });
    calls.erase(ended, calls.end());
    changed = true;
}

/** Replace the media clock's copies. */
void takeCalls() {
    DirectCalls now;
    {
        std::lock_guard<std::mutex> lock(callsMutex);
        now = calls;
    }
    for (const Ticking &each : ticking)
        bySlot[each.direct->call] = nullptr;
    ticking.clear();
    for (auto &each : now) {
        bySlot[each->call] = each.get();
        each->begin();
        ticking.push_back(Ticking{Clock::time_point(), Clock::time_point(), std::move(each)});
    }
}

}  // namespace

bool openDirectAudio(int call, int number) {
    pjmedia_stream *stream = g711StreamOf(call);
    const int slot = conferenceSlot(call);
    const auto queue = audioQueue(number);
    pjmedia_stream_info info;
    if (!stream || slot == PJSUA_INVALID_ID || !queue || pjmedia_stream_get_info(stream, &info) != PJ_SUCCESS) {
        closeDirectAudio(call);
        return false;
    }
    serveInConference(slot, PJMEDIA_PORT_DISABLE);
    std::lock_guard<std::mutex> lock(callsMutex);
    const size_t packetBytes = packetBytesTo(call);
    const auto same = [&](const auto &each) { return each->call == call; };
    const auto found = std::find_if(calls.begin(), calls.end(), same);
    if (found != calls.end() && (*found)->stream == stream && (*found)->number == number &&
        (*found)->packetBytes == packetBytes)
        return true;
    drop(call);
    calls.push_back(std::make_shared<DirectCall>(call, number, queue, stream, info, packetBytes));
    return true;
}

void closeDirectAudio(int call) {
    const int slot = conferenceSlot(call);
    if (slot != PJSUA_INVALID_ID) {
        dropUnheard(call);
        serveInConference(slot, PJMEDIA_PORT_ENABLE);
    }
    std::lock_guard<std::mutex> lock(callsMutex);
    drop(call);
}

void leaveDirectSocket(int call, const pjmedia_stream *stream) {
    std::lock_guard<std::mutex> lock(callsMutex);
    for (const auto &each : calls)
        if (each->call == call && each->stream == stream)
            each->closeSocket();
}

void releaseDirectAudio() {
    {
        std::lock_guard<std::mutex> lock(callsMutex);
        calls.clear();
    }
    takeCalls();
}

bool beginDirectTick() {
    if (changed.exchange(false))
        takeCalls();
    return !ticking.empty();
}

void passDirectAudio(Clock::time_point tick) {
    for (Ticking &each : ticking)
        if (tick >= each.silenceAt)
            each.silenceAt = each.direct->takeSilence(tick);
    DirectCall::passHeard();
}

void sendDirectAudio(Clock::time_point tick) {
    for (Ticking &each : ticking)
        if (tick >= each.sendAt)
            each.sendAt = each.direct->sendPacket(tick);
}

}  // namespace sipbridge

extern "C" pj_bool_t sipbridgeDirectPacket(pjmedia_stream_common *stream, int call, pj_bool_t isEvent,
                                           const pjmedia_rtp_hdr *header, const void *payload, unsigned length) {
    using namespace sipbridge;
    if (isRelayed(call, stream))
        return relayPacket(call, isEvent, header, payload, length);
    DirectCall *direct = bySlot[call];
    if (!direct || reinterpret_cast<pjmedia_stream_common *>(direct->stream) != stream)
        return PJ_FALSE;
    // Events and comfort noise have a sequence number like audio.
    if (isEvent || (header->pt != PCMU && header->pt != PCMA)) {
        direct->takeOther(header);
        return !isEvent;
    }
    sipbridgeAudioPacket(call);
    direct->takeAudio(header, payload, length);
    return PJ_TRUE;
}
