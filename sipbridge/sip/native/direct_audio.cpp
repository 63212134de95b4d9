#include "direct_audio.hpp"
#include "audio_streams.hpp"
#include "call_audio.hpp"
#include "dtmf.hpp"
#include "received_audio.hpp"
#include "relay.hpp"

#include <algorithm>
#include <atomic>

// patches/0036
extern "C" void sipbridgeSkipSamples(pjmedia_stream *stream, unsigned samples);

namespace sipbridge {

namespace {

/** A call, and the audio stream of its agent. `received` and `out` belong to the media clock. */
struct DirectCall {
    int call;
    int number;
    std::shared_ptr<AudioQueue> queue;
    pjmedia_stream *stream;
    pjmedia_port *port;
    size_t packetBytes;
    ReceivedAudio received{Clock::now()};
    std::string out;

    DirectCall(int call, int number, std::shared_ptr<AudioQueue> queue, pjmedia_stream *stream, pjmedia_port *port,
               size_t packetBytes)
        : call(call), number(number), queue(std::move(queue)), stream(stream), port(port), packetBytes(packetBytes) {
        pjmedia_port_add_ref(port);
    }
    // The stream's memory stays until here; the stream itself may have been destroyed, and then sends nothing.
    ~DirectCall() { pjmedia_port_dec_ref(port); }
    DirectCall(const DirectCall &) = delete;
    DirectCall &operator=(const DirectCall &) = delete;
};

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
std::vector<DirectCall *> heard;  // the calls that have audio since the last tick

void removeDirect(int call) {
    std::lock_guard<std::mutex> lock(callsMutex);
    calls.erase(std::remove_if(calls.begin(), calls.end(), [&](const auto &each) { return each->call == call; }),
                calls.end());
    changed = true;
}

void noteHeard(DirectCall &direct, bool hadAudio) {
    if (!hadAudio && !direct.out.empty())
        heard.push_back(&direct);
}

/** Send the packet that is due to the far end, if one is; return when the next one is due. */
Clock::time_point sendPacket(DirectCall &direct, Clock::time_point tick) {
    uint8_t bytes[MAX_PACKET_BYTES];
    Pace pace;
    const Turn turn = direct.queue->next(tick, bytes, direct.packetBytes, &pace);
    if (turn == Turn::Nothing)
        return pace.due;
    if (pace.skipped)
        sipbridgeSkipSamples(direct.stream, pace.skipped);
    int16_t samples[MAX_PACKET_BYTES] = {};
    if (turn == Turn::Speech)
        for (size_t i = 0; i < direct.packetBytes; ++i)
            samples[i] = static_cast<int16_t>(pjmedia_ulaw2linear(bytes[i]));
    pjmedia_frame frame;
    pj_bzero(&frame, sizeof(frame));
    frame.type = PJMEDIA_FRAME_TYPE_AUDIO;
    frame.buf = samples;
    frame.size = sizeof(samples[0]) * direct.packetBytes;
    pjmedia_port_put_frame(direct.port, &frame);
    return pace.due;
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
        ticking.push_back(Ticking{Clock::time_point(), Clock::time_point(), std::move(each)});
    }
}

RtpPacket::Payload kindOf(unsigned payloadType, bool isEvent) {
    if (isEvent)
        return RtpPacket::NoAudio;
    return payloadType == PCMU ? RtpPacket::Mulaw : payloadType == PCMA ? RtpPacket::Alaw : RtpPacket::NoAudio;
}

}  // namespace

bool openDirectAudio(int call, int number) {
    pjmedia_stream *stream = g711StreamOf(call);
    const int slot = conferenceSlot(call);
    const auto queue = audioQueue(number);
    pjmedia_port *port = nullptr;
    if (!stream || slot == PJSUA_INVALID_ID || !queue || pjmedia_stream_get_port(stream, &port) != PJ_SUCCESS) {
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
    if (found != calls.end())
        calls.erase(found);
    calls.push_back(std::make_shared<DirectCall>(call, number, queue, stream, port, packetBytes));
    changed = true;
    return true;
}

void closeDirectAudio(int call) {
    const int slot = conferenceSlot(call);
    if (slot != PJSUA_INVALID_ID)
        serveInConference(slot, PJMEDIA_PORT_ENABLE);
    removeDirect(call);
}

bool beginDirectTick() {
    if (changed.exchange(false))
        takeCalls();
    return !ticking.empty();
}

void passDirectAudio(Clock::time_point tick) {
    for (Ticking &each : ticking) {
        if (tick < each.silenceAt)
            continue;
        DirectCall &direct = *each.direct;
        const bool hadAudio = !direct.out.empty();
        direct.received.tick(tick, &direct.out);
        noteHeard(direct, hadAudio);
        each.silenceAt = direct.received.due();
    }
    for (DirectCall *each : heard) {
        hearAudio(each->number, *each->queue, each->out);
        each->out.clear();
    }
    heard.clear();
}

void sendDirectAudio(Clock::time_point tick) {
    for (Ticking &each : ticking)
        if (tick >= each.sendAt)
            each.sendAt = sendPacket(*each.direct, tick);
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
    const RtpPacket packet{pj_ntohl(header->ssrc),
                           pj_ntohs(header->seq),
                           pj_ntohl(header->ts),
                           kindOf(header->pt, isEvent),
                           static_cast<const uint8_t *>(payload),
                           length};
    const bool hadAudio = !direct->out.empty();
    direct->received.receive(packet, Clock::now(), &direct->out);
    noteHeard(*direct, hadAudio);
    if (isEvent)
        return PJ_FALSE;
    if (packet.kind != RtpPacket::NoAudio)
        sipbridgeAudioPacket(call);
    return PJ_TRUE;
}
