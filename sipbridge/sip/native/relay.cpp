#include "relay.hpp"
#include "call_audio.hpp"
#include "dtmf.hpp"
#include "relay_leg.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

namespace sipbridge {

namespace {

struct Relay {
    std::array<std::unique_ptr<RelayLeg>, 2> legs;
    bool begun = false;  // on the media clock
    std::atomic<bool> ended{false};

    Relay(std::unique_ptr<RelayLeg> one, std::unique_ptr<RelayLeg> other) : legs{std::move(one), std::move(other)} {
        legs[0]->other = legs[1].get();
        legs[1]->other = legs[0].get();
    }
    /** The leg of a call; null if it is none of these. */
    RelayLeg *legOf(int call) const {
        return legs[0]->call == call ? legs[0].get() : legs[1]->call == call ? legs[1].get() : nullptr;
    }
};

typedef std::vector<std::shared_ptr<Relay>> Relays;

std::mutex relaysMutex;
Relays relays;
std::atomic<bool> changed{false};
// The media clock has copies of its own, so that the SIP thread never waits for a tick.
Relays running;
RelayLeg *byCall[PJSUA_MAX_CALLS];

/** The relay of a call; null without one. With the mutex locked. */
std::shared_ptr<Relay> relayOf(int call) {
    const auto found = std::find_if(relays.begin(), relays.end(), [&](const auto &each) { return each->legOf(call); });
    return found == relays.end() ? nullptr : *found;
}

/** Remove the relay of a call, and return it; null without one. With the mutex locked. */
std::shared_ptr<Relay> drop(int call) {
    const auto relay = relayOf(call);
    if (!relay)
        return nullptr;
    relays.erase(std::find(relays.begin(), relays.end(), relay));
    relay->ended = true;
    for (const auto &leg : relay->legs)
        leg->closeSocket();
    changed = true;
    return relay;
}

/** Make one leg; null if its call has no G.711. */
std::unique_ptr<RelayLeg> makeLeg(int call, int withheld) {
    pjmedia_stream *stream = g711StreamOf(call);
    pjmedia_stream_info info;
    if (!stream || pjmedia_stream_get_info(stream, &info) != PJ_SUCCESS)
        return nullptr;
    return std::make_unique<RelayLeg>(call, withheld, stream, info);
}

/** Replace the relays of both calls by another one, unless it is of the same streams. */
void replace(std::unique_ptr<RelayLeg> leg, std::unique_ptr<RelayLeg> otherLeg) {
    const int call = leg->call, other = otherLeg->call;
    std::lock_guard<std::mutex> lock(relaysMutex);
    const auto present = relayOf(call);
    const RelayLeg *of = present ? present->legOf(call) : nullptr;
    if (of && of->stream == leg->stream && of->other->stream == otherLeg->stream)
        return;
    drop(call);
    drop(other);
    relays.push_back(std::make_shared<Relay>(std::move(leg), std::move(otherLeg)));
    changed = true;
}

/** Put a leg back into the conference, unless its slot has another stream or call now. */
void returnToConference(const RelayLeg &leg) {
    if (g711StreamOf(leg.call) != leg.stream)
        return;
    dropUnheard(leg.call);
    serveInConference(conferenceSlot(leg.call), PJMEDIA_PORT_ENABLE);
}

/** Replace the media clock's copies. */
void takeRelays() {
    Relays now;
    {
        std::lock_guard<std::mutex> lock(relaysMutex);
        now = relays;
    }
    const Clock::time_point time = Clock::now();
    for (const auto &each : now) {
        if (each->begun)
            continue;
        each->begun = true;
        for (const auto &leg : each->legs) {
            leg->begin(byCall[leg->call], time);
            byCall[leg->call] = leg.get();
        }
    }
    for (const auto &each : running) {
        if (!each->ended)
            continue;
        for (const auto &leg : each->legs) {
            if (byCall[leg->call] != leg.get())
                continue;  // another leg of the call has taken over
            byCall[leg->call] = nullptr;
            leg->finish(time);
        }
    }
    running = std::move(now);
}

}  // namespace

bool openRelay(int call, int withheld, int other, int otherWithheld) {
    auto leg = makeLeg(call, withheld), otherLeg = makeLeg(other, otherWithheld);
    if (!leg || !otherLeg || packetBytesTo(call) != packetBytesTo(other)) {
        closeRelay(call);
        closeRelay(other);
        return false;
    }
    serveInConference(conferenceSlot(call), PJMEDIA_PORT_DISABLE);
    serveInConference(conferenceSlot(other), PJMEDIA_PORT_DISABLE);
    replace(std::move(leg), std::move(otherLeg));
    return true;
}

void closeRelay(int call) {
    std::shared_ptr<Relay> relay;
    {
        std::lock_guard<std::mutex> lock(relaysMutex);
        relay = drop(call);
    }
    if (!relay)
        return dropUnheard(call);
    for (const auto &leg : relay->legs)
        returnToConference(*leg);
}

void leaveRelaySocket(int call, const pjmedia_stream *stream) {
    std::lock_guard<std::mutex> lock(relaysMutex);
    const auto relay = relayOf(call);
    if (relay && relay->legOf(call)->stream == stream)
        relay->legOf(call)->closeSocket();
}

int relayLevel(int call) {
    std::lock_guard<std::mutex> lock(relaysMutex);
    const auto relay = relayOf(call);
    return relay ? relay->legOf(call)->level.load() : -1;
}

void releaseRelays() {
    {
        std::lock_guard<std::mutex> lock(relaysMutex);
        for (const auto &each : relays)
            each->ended = true;
        relays.clear();
    }
    takeRelays();
}

bool beginRelayTick() {
    if (changed.exchange(false))
        takeRelays();
    return !running.empty();
}

void fillRelays(Clock::time_point tick) {
    for (const auto &each : running)
        for (const auto &leg : each->legs)
            leg->fill(tick);
}

bool isRelayed(int call, const pjmedia_stream_common *stream) {
    return byCall[call] && reinterpret_cast<pjmedia_stream_common *>(byCall[call]->stream) == stream;
}

bool relayPacket(int call, bool isEvent, const pjmedia_rtp_hdr *header, const void *payload, unsigned length) {
    if (isEvent)
        return false;
    // Any other payload, such as comfort noise, the far ends have not agreed on.
    if (header->pt != PCMU && header->pt != PCMA)
        return true;
    sipbridgeAudioPacket(call);
    byCall[call]->takeAudio(header, payload, length);
    return true;
}

bool canRelayDigit(int call, char digit) { return byCall[call] && byCall[call]->canRelayDigit(digit); }

void relayEvent(int call, const pjmedia_rtp_hdr *header, const void *payload, uint32_t duration) {
    if (byCall[call])
        byCall[call]->relayEvent(header, payload, duration);
}

}  // namespace sipbridge
