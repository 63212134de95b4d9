#include "direct_audio.hpp"
#include "audio_streams.hpp"
#include "dtmf.hpp"
#include "received_audio.hpp"

#include <algorithm>
#include <atomic>

// patches/0036
extern "C" void sipbridgeSkipSamples(pjmedia_stream *stream, unsigned samples);

namespace sipbridge {

namespace {

const unsigned PCMU = 0, PCMA = 8;  // RFC 3551, 6

/** A call, and the audio stream of its agent. `received` and `out` belong to the media clock. */
struct DirectCall {
    int call;
    int number;
    std::shared_ptr<AudioQueue> queue;
    pjmedia_stream *stream;
    pjmedia_port *port;
    ReceivedAudio received{Clock::now()};
    std::string out;

    DirectCall(int call, int number, std::shared_ptr<AudioQueue> queue, pjmedia_stream *stream, pjmedia_port *port)
        : call(call), number(number), queue(std::move(queue)), stream(stream), port(port) {
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

// The media clock's copy, so that the SIP thread never waits for a tick; by slot for the packets.
DirectCalls ticking;
DirectCall *bySlot[PJSUA_MAX_CALLS];

/** The RTP stream of a call's audio if it has one with G.711; else null. */
pjmedia_stream *streamOf(int call) {
    const pjsua_call &slot = pjsua_var.calls[call];
    if (!slot.inv || slot.hanging_up || slot.audio_idx < 0)
        return nullptr;
    pjmedia_stream *stream = slot.media[slot.audio_idx].strm.a.stream;
    pjmedia_stream_info info;
    if (!stream || pjmedia_stream_get_info(stream, &info) != PJ_SUCCESS)
        return nullptr;
    return info.fmt.pt == PCMU || info.fmt.pt == PCMA ? stream : nullptr;
}

/** Let the conference serve a slot, or not. */
void serveInConference(int slot, pjmedia_port_op op) { pjmedia_conf_configure_port(pjsua_var.mconf, slot, op, op); }

int conferenceSlot(int call) {
    const pjsua_call &slot = pjsua_var.calls[call];
    return slot.audio_idx < 0 ? PJSUA_INVALID_ID : slot.media[slot.audio_idx].strm.a.conf_slot;
}

void removeDirect(int call) {
    std::lock_guard<std::mutex> lock(callsMutex);
    calls.erase(std::remove_if(calls.begin(), calls.end(), [&](const auto &each) { return each->call == call; }),
                calls.end());
    changed = true;
}

void passHeard(DirectCall &direct) {
    if (direct.out.empty())
        return;
    hearAudio(direct.number, *direct.queue, direct.out);
    direct.out.clear();
}

/** Send the packet that is due to the far end, if one is. */
void sendPacket(DirectCall &direct, Clock::time_point tick) {
    uint8_t bytes[FRAME_BYTES];
    unsigned skipped;
    const Turn turn = direct.queue->next(tick, bytes, &skipped);
    if (turn == Turn::Nothing)
        return;
    if (skipped)
        sipbridgeSkipSamples(direct.stream, skipped);
    int16_t samples[FRAME_BYTES] = {};
    if (turn == Turn::Speech)
        for (size_t i = 0; i < FRAME_BYTES; ++i)
            samples[i] = static_cast<int16_t>(pjmedia_ulaw2linear(bytes[i]));
    pjmedia_frame frame;
    pj_bzero(&frame, sizeof(frame));
    frame.type = PJMEDIA_FRAME_TYPE_AUDIO;
    frame.buf = samples;
    frame.size = sizeof(samples);
    pjmedia_port_put_frame(direct.port, &frame);
}

RtpPacket::Payload kindOf(unsigned payloadType, bool isEvent) {
    if (isEvent)
        return RtpPacket::NoAudio;
    return payloadType == PCMU ? RtpPacket::Mulaw : payloadType == PCMA ? RtpPacket::Alaw : RtpPacket::NoAudio;
}

}  // namespace

bool openDirectAudio(int call, int number) {
    pjmedia_stream *stream = streamOf(call);
    const int slot = conferenceSlot(call);
    const auto queue = audioQueue(number);
    pjmedia_port *port = nullptr;
    if (!stream || slot == PJSUA_INVALID_ID || !queue || pjmedia_stream_get_port(stream, &port) != PJ_SUCCESS) {
        closeDirectAudio(call);
        return false;
    }
    serveInConference(slot, PJMEDIA_PORT_DISABLE);
    std::lock_guard<std::mutex> lock(callsMutex);
    const auto same = [&](const auto &each) { return each->call == call; };
    const auto found = std::find_if(calls.begin(), calls.end(), same);
    if (found != calls.end() && (*found)->stream == stream && (*found)->number == number)
        return true;
    if (found != calls.end())
        calls.erase(found);
    calls.push_back(std::make_shared<DirectCall>(call, number, queue, stream, port));
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
    if (changed.exchange(false)) {
        for (const auto &each : ticking)
            bySlot[each->call] = nullptr;
        DirectCalls now;
        {
            std::lock_guard<std::mutex> lock(callsMutex);
            now = calls;
        }
        ticking.swap(now);
        for (const auto &each : ticking)
            bySlot[each->call] = each.get();
    }
    return !ticking.empty();
}

void passDirectAudio(Clock::time_point tick) {
    for (const auto &each : ticking) {
        each->received.tick(tick, &each->out);
        passHeard(*each);
    }
}

void sendDirectAudio(Clock::time_point tick) {
    for (const auto &each : ticking)
        sendPacket(*each, tick);
}

}  // namespace sipbridge

extern "C" pj_bool_t sipbridgeDirectPacket(pjmedia_stream_common *stream, int call, pj_bool_t isEvent,
                                           const pjmedia_rtp_hdr *header, const void *payload, unsigned length) {
    using namespace sipbridge;
    DirectCall *direct = bySlot[call];
    if (!direct || reinterpret_cast<pjmedia_stream_common *>(direct->stream) != stream)
        return PJ_FALSE;
    const RtpPacket packet{pj_ntohl(header->ssrc), pj_ntohs(header->seq), pj_ntohl(header->ts),
                           kindOf(header->pt, isEvent), static_cast<const uint8_t *>(payload), length};
    direct->received.receive(packet, Clock::now(), &direct->out);
    if (isEvent)
        return PJ_FALSE;
    if (packet.kind != RtpPacket::NoAudio)
        sipbridgeAudioPacket(call);
    return PJ_TRUE;
}
